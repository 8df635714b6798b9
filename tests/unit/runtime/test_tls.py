"""The own certificate: what it names, how long it lives, and that clients can use it."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from node.base.errors import ExitStatus, Fatal
from node.runtime import tls
from node.runtime.clock import ManualClock, SystemClock

DAY_S = 24 * 3600


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ms=1_800_000_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls"


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(path: Path) -> tuple[list[str], list[str]]:
    names = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName), [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]


def test_it_names_this_machine_and_the_domain(folder: Path, clock: ManualClock) -> None:
    dns, ips = names_of(tls.own_certificate(folder, domain="casa.example", clock=clock))
    assert dns[:2] == ["casa.example", "localhost"]
    assert ips[:2] == ["127.0.0.1", "::1"]


def test_it_is_private_and_no_authority(folder: Path, clock: ManualClock) -> None:
    path = tls.own_certificate(folder, domain="", clock=clock)
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    certificate = read(path)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"


def test_no_device_finds_it_too_long(folder: Path, clock: ManualClock) -> None:
    certificate = read(tls.own_certificate(folder, domain="", clock=clock))
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 825


def test_it_stays_until_two_thirds_of_its_life(folder: Path, clock: ManualClock) -> None:
    first = tls.own_certificate(folder, domain="", clock=clock).read_bytes()
    clock.advance(seconds=545 * DAY_S)
    assert tls.own_certificate(folder, domain="", clock=clock).read_bytes() == first
    clock.advance(seconds=3 * DAY_S)
    renewed = tls.own_certificate(folder, domain="", clock=clock)
    assert renewed.read_bytes() != first
    assert tls.days_left(renewed, clock=clock) == tls.LIFE_DAYS


def test_its_days_are_counted(folder: Path, clock: ManualClock) -> None:
    path = tls.own_certificate(folder, domain="", clock=clock)
    clock.advance(seconds=tls.LIFE_DAYS * DAY_S + 1)
    assert tls.days_left(path, clock=clock) == -1


def test_a_new_domain_needs_a_new_one(folder: Path, clock: ManualClock) -> None:
    tls.own_certificate(folder, domain="", clock=clock)
    path = tls.own_certificate(folder, domain="casa.example", clock=clock)
    assert "casa.example" in names_of(path)[0]
    kept = path.read_bytes()
    assert tls.own_certificate(folder, domain="", clock=clock).read_bytes() == kept


def test_a_damaged_one_is_replaced(folder: Path, clock: ManualClock) -> None:
    path = tls.own_certificate(folder, domain="", clock=clock)
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    tls.server_context(tls.own_certificate(folder, domain="", clock=clock))


def test_a_domain_of_253_characters_fits(clock: ManualClock) -> None:
    domain = ".".join(["a" * 61] * 4) + ".bcdef"
    assert len(domain) == 253
    assert tls.make_certificate((domain,), (), now_s=clock.now_ms() // 1000)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Both sides over memory, no sockets."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [theirs, ours]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return theirs


class TestHandshake:
    """What is spoken."""

    @pytest.fixture
    def path(self, folder: Path) -> Path:
        return tls.own_certificate(folder, domain="casa.example", clock=SystemClock())

    @pytest.mark.parametrize("name", ["casa.example", "localhost", "127.0.0.1", "::1"])
    def test_who_trusts_it_verifies_it(self, path: Path, name: str) -> None:
        client = ssl.create_default_context(cafile=str(path))
        assert handshake(tls.server_context(path), client, name).version() == "TLSv1.3"

    def test_who_does_not_is_warned(self, path: Path) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(tls.server_context(path), ssl.create_default_context(), "localhost")

    def test_tls_1_2_only_with_forward_secrecy_and_aead(self, path: Path) -> None:
        client = ssl.create_default_context(cafile=str(path))
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        cipher = handshake(tls.server_context(path), client, "localhost").cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-ECDSA-")
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        spoken = [cipher["name"] for cipher in tls.server_context(path).get_ciphers()]
        assert not [name for name in spoken if not ("GCM" in name or "CHACHA20" in name)]

    def test_older_ones_are_refused(self, path: Path) -> None:
        client = ssl.create_default_context(cafile=str(path))
        client.set_ciphers("AES128-SHA")
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            handshake(tls.server_context(path), client, "localhost")

    def test_the_fingerprint_is_of_what_is_served(self, path: Path) -> None:
        client = ssl.create_default_context(cafile=str(path))
        served = handshake(tls.server_context(path), client, "localhost").getpeercert(binary_form=True)
        assert served is not None
        assert hashlib.sha256(served).digest() == tls.fingerprint(path)


@pytest.mark.parametrize("content", [None, b"", b"rubbish"], ids=["absent", "empty", "rubbish"])
def test_a_given_certificate_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "given.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fatal, match=r"given\.pem") as stopped:
        tls.server_context(path)
    assert stopped.value.status is ExitStatus.USAGE


def test_a_given_key_of_another_certificate_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    one, two = tmp_path / "one.pem", tmp_path / "two.pem"
    one.write_bytes(tls.make_certificate(("a.example",), (), now_s=clock.now_ms() // 1000))
    two.write_bytes(tls.make_certificate(("b.example",), (), now_s=clock.now_ms() // 1000))
    with pytest.raises(Fatal, match=r"two\.pem"):
        tls.server_context(one, two)


class TestRenewal:
    """A certificate that changes while the node serves."""

    def served(self, certificate: tls.Certificate) -> bytes:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        found = handshake(certificate.context, client, "localhost").getpeercert(binary_form=True)
        assert found is not None
        return hashlib.sha256(found).digest()

    def write(self, path: Path, name: str, clock: ManualClock) -> None:
        path.write_bytes(tls.make_certificate((name,), (), now_s=clock.now_ms() // 1000))

    def test_the_own_one_is_renewed_in_time(self, folder: Path, clock: ManualClock) -> None:
        certificate = tls.Certificate.own(folder, domain="", clock=clock)
        before = self.served(certificate)
        assert not certificate.look()
        clock.advance(seconds=600 * DAY_S)
        assert certificate.look()
        assert self.served(certificate) == tls.fingerprint(folder / tls.FILE) != before

    def test_a_given_one_is_taken_up(self, tmp_path: Path, clock: ManualClock) -> None:
        given = tmp_path / "given.pem"
        self.write(given, "old.example", clock)
        certificate = tls.Certificate.given(given, given)
        assert not certificate.look()
        self.write(given, "new.example.long", clock)
        assert certificate.look()
        assert self.served(certificate) == tls.fingerprint(given)

    def test_half_a_change_waits_for_the_other_half(self, tmp_path: Path, clock: ManualClock) -> None:
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        self.write(cert, "old.example", clock)
        key.write_bytes(cert.read_bytes())
        certificate = tls.Certificate.given(cert, key)
        before = self.served(certificate)
        self.write(cert, "new.example.long", clock)
        assert not certificate.look()
        assert self.served(certificate) == before
        key.write_bytes(cert.read_bytes())
        assert certificate.look()
        assert self.served(certificate) == tls.fingerprint(cert)

    def test_a_file_that_went_away_changes_nothing(self, tmp_path: Path, clock: ManualClock) -> None:
        given = tmp_path / "given.pem"
        self.write(given, "old.example", clock)
        certificate = tls.Certificate.given(given, given)
        before = self.served(certificate)
        given.unlink()
        assert not certificate.look()
        assert self.served(certificate) == before


def test_the_digest_of_the_leaf_is_that_of_its_bytes(folder: Path, clock: ManualClock) -> None:
    path = tls.own_certificate(folder, domain="", clock=clock)
    assert tls.leaf_digest(path) == hashlib.sha256(read(path).public_bytes(Encoding.DER)).digest()
    with pytest.raises(Fatal) as fault:
        tls.leaf_digest(Path(__file__))
    assert fault.value.status is ExitStatus.USAGE


def test_the_names_of_a_certificate(tmp_path: Path) -> None:
    pem = tmp_path / "cert.pem"
    pem.write_bytes(tls.make_certificate(["casa.example", "*.hut.example"], ["127.0.0.1"], now_s=1_800_000_000))
    assert tls.names(pem) == ("casa.example", "*.hut.example")
    covered = ("casa.example", "a.hut.example")
    assert all(tls.covers(tls.names(pem), host) for host in covered)
    assert not any(tls.covers(tls.names(pem), host) for host in ("b.casa.example", "hut.example", "a.b.hut.example"))
