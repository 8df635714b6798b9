"""TLS of the web listener: the node's own certificate when it has no other, and what is spoken.

A node without a public certificate makes its own, ECDSA P-256, at first start. Nobody vouches for it: people confirm
it once in their browser, and apps pin it from the QR code. Each renewal makes them do that again, so it lives as long
as devices accept: 820 days and a day of back-dating (Apple refuses more than 825, whoever issued it), and is
replaced with a new key at two thirds of that, or when the node gets a domain it does not name. It does not
follow the LAN addresses of the machine: they change too often for that. It is no authority (CA:FALSE), so whoever
installs it as trusted trusts one node and not all sites.

A node runs for months, and given certificates live for weeks: `Certificate` looks at the files every hour and takes up
what has changed, once certificate and key fit. Connections that are open keep what they have.

Spoken are TLS 1.3, and 1.2 with ECDHE and AEAD only (design: security, section 7).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from node.base.errors import ExitStatus, Fatal
from node.runtime import lan
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.runtime.privatefile import PRIVATE_FOLDER, write_private

if TYPE_CHECKING:
    from cryptography import x509

FILE: Final = "node.pem"  # key and certificate in one file, so that they change together
LIFE_DAYS: Final = 820
BACKDATED_S: Final = 24 * 3600  # a device's clock may be slow by this much
CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
LOOK_S: Final = 3600  # a renewed certificate is served at latest so long after
_DAY_S: Final = 24 * 3600
_COMMON_NAME_MAX: Final = 64  # RFC 5280, ub-common-name
_log = Log("tls")


class Certificate:
    """What the web listener serves, in `context`. A `lifecycle.Service`: it renews and reloads while the node runs."""

    name = "tls"

    def __init__(self, *, files: Callable[[], tuple[Path, Path | None]]) -> None:
        """`files` names chain and key (None: in the same file), and makes them anew if that is its task. Raises Fatal."""
        self._files = files
        cert, key = files()
        self.context = server_context(cert, key)
        self.leaf = leaf_digest(cert)  # SHA-256 of the certificate that is served now
        self._seen = _stamp(cert, key)

    @classmethod
    def own(cls, folder: Path, *, domain: str, clock: Clock) -> Self:
        """Self-signed, kept in `folder`."""
        return cls(files=lambda: (own_certificate(folder, domain=domain, clock=clock), None))

    @classmethod
    def given(cls, cert: Path, key: Path) -> Self:
        """Somebody else's, who also renews it."""
        return cls(files=lambda: (cert, key))

    async def run(self, ready: Callable[[], None]) -> None:
        """Looks every hour."""
        ready()
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> bool:
        """Whether there was something new. A chain and key that do not fit (yet) are left for the next look."""
        try:
            cert, key = self._files()
            stamp = _stamp(cert, key)
            if stamp == self._seen:
                return False
            server_context(cert, key)  # tried on a spare one: a failed load would leave the context with half of it
            leaf = leaf_digest(cert)
            self.context.load_cert_chain(cert, key)
        except (Fatal, OSError) as error:
            _log.warning("The TLS certificate could not be renewed; the present one stays", reason=str(error))
            return False
        self._seen, self.leaf = stamp, leaf
        _log.info("The TLS certificate was renewed")
        return True


def leaf_digest(chain: Path) -> bytes:
    """SHA-256 of the first certificate of a PEM chain: what the two ends of a link compare. Raises OSError, Fatal."""
    _, _, rest = chain.read_text(encoding="ascii", errors="replace").partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    try:
        der = ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{body}{end}")
    except ValueError as error:
        raise Fatal(ExitStatus.USAGE, f"{chain} holds no certificate in PEM form.") from error
    return hashlib.sha256(der).digest()


def _stamp(cert: Path, key: Path | None) -> tuple[tuple[int, int, int], ...]:
    """Changes when one of the files is replaced or rewritten."""
    found = [path.stat() for path in (cert, key) if path is not None]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)


def own_certificate(folder: Path, *, domain: str, clock: Clock) -> Path:
    """The PEM file with key and certificate in `folder`; made, or renewed when due. Raises Fatal."""
    path = folder / FILE
    now_s = clock.now_ms() // 1000
    try:
        if path.exists() and not _is_due(path.read_bytes(), domain, now_s):
            return path
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        names = (domain, "localhost", *lan.host_names()) if domain else ("localhost", *lan.host_names())
        write_private(path, make_certificate(names, ("127.0.0.1", "::1", *lan.own_addresses()), now_s=now_s))
    except OSError as error:
        raise Fatal(
            ExitStatus.DATA_UNWRITABLE,
            f"{path} cannot be read or written ({error.strerror}). Check owner and rights of the data directory.",
        ) from error
    return path


def make_certificate(names: Iterable[str], addresses: Iterable[str], *, now_s: int) -> bytes:
    """PEM of a new key and its self-signed certificate for these names; the first name is its subject."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    names = tuple(dict.fromkeys(names))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:_COMMON_NAME_MAX])])
    valid_from = max(0, now_s - BACKDATED_S)
    general: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    general += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(valid_from, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(now_s + LIFE_DAYS * _DAY_S, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signing_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def server_context(cert: Path, key: Path | None = None) -> ssl.SSLContext:
    """What the web listener speaks, with this certificate chain; `key` None: it is in the same file. Raises Fatal."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        of = f" and key {key}" if key else ""
        raise Fatal(
            ExitStatus.USAGE,
            f"The certificate {cert}{of} cannot be used ({error}). Give a PEM chain and its unencrypted key, readable by this user.",
        ) from error
    return context


def fingerprint(cert: Path) -> bytes:
    """SHA-256 of the leaf certificate in a PEM file: what apps pin."""
    pem = cert.read_text("ascii")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    leaf = pem[pem.index(begin) : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).digest()


def days_left(cert: Path, *, clock: Clock) -> int:
    """Whole days until the leaf certificate of a PEM file ends; negative afterwards. Raises ValueError, OSError."""
    from cryptography import x509

    end = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
    return int(end.timestamp() - clock.now_ms() / 1000) // _DAY_S


def names(cert: Path) -> tuple[str, ...]:
    """The host names of the leaf certificate of a PEM file. Raises ValueError, OSError."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def covers(names: Iterable[str], host: str) -> bool:
    """Whether a certificate for `names` is good for `host` (RFC 9525: a wildcard stands for the whole first label)."""
    return any(name.lower() in {host, f"*.{host.partition('.')[2]}"} for name in names)


def _signing_only() -> x509.KeyUsage:
    """Key usage of an ECDSA server key."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_due(pem: bytes, domain: str, now_s: int) -> bool:
    """Whether the own certificate has to be made anew; a damaged one has to."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return True
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return now_s > begin + (end - begin) * 2 / 3 or bool(
        domain and domain not in names.get_values_for_type(x509.DNSName)
    )
