"""Noise_XX_25519_ChaChaPoly_SHA256 a second time, from its specification (revision 34) alone: the other implementation that vectors and
our adapter of the library are checked against. The ephemeral key is given, so everything follows from its inputs."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
PATTERN = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class Cipher:
    """CipherState, section 5.1."""

    def __init__(self, key: bytes) -> None:
        self.key, self.n = key, 0

    def _nonce(self, n: int) -> bytes:
        return bytes(4) + struct.pack("<Q", n)

    def encrypt(self, ad: bytes, plain: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self.key).encrypt(self._nonce(self.n), plain, ad)
        self.n += 1
        return sealed

    def decrypt(self, ad: bytes, sealed: bytes) -> bytes:
        plain = ChaCha20Poly1305(self.key).decrypt(self._nonce(self.n), sealed, ad)
        self.n += 1
        return plain

    def rekey(self) -> None:
        """Section 4.2: the first 32 bytes of 32 zeros under nonce 2^64 - 1."""
        self.key = ChaCha20Poly1305(self.key).encrypt(self._nonce(2**64 - 1), bytes(32), b"")[:32]


def _hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Section 4.3, two outputs."""
    temp = hmac.digest(chaining, material, "sha256")
    first = hmac.digest(temp, b"\x01", "sha256")
    return first, hmac.digest(temp, first + b"\x02", "sha256")


class Xx:
    """HandshakeState of one side, section 5.3."""

    def __init__(self, *, initiator: bool, prologue: bytes, static: bytes, ephemeral: bytes) -> None:
        self.h = self._ck = NAME  # 32 bytes, as long as the hash
        self._cipher: Cipher | None = None
        self._initiator = initiator
        self._s, self._e = X25519PrivateKey.from_private_bytes(static), X25519PrivateKey.from_private_bytes(ephemeral)
        self.rs: bytes = b""
        self._re: bytes = b""
        self._turn = 0
        self._mix_hash(prologue)

    @property
    def static(self) -> bytes:
        return self._s.public_key().public_bytes_raw()

    def write(self, payload: bytes) -> bytes:
        message = b""
        for token in self._tokens():
            if token == "e":
                public = self._e.public_key().public_bytes_raw()
                message += public
                self._mix_hash(public)
            elif token == "s":
                message += self._seal(self.static)
            else:
                self._mix(token)
        return message + self._seal(payload)

    def read(self, message: bytes) -> bytes:
        for token in self._tokens():
            if token == "e":
                self._re, message = message[:32], message[32:]
                self._mix_hash(self._re)
            elif token == "s":
                self.rs, message = self._open(message[:48]), message[48:]
            else:
                self._mix(token)
        return self._open(message)

    def split(self) -> tuple[Cipher, Cipher]:
        """(to send, to receive)."""
        one, two = (Cipher(key) for key in _hkdf(self._ck, b""))
        return (one, two) if self._initiator else (two, one)

    def _tokens(self) -> tuple[str, ...]:
        self._turn += 1
        return PATTERN[self._turn - 1]

    def _mix(self, token: str) -> None:
        """Token xy: the initiator's x and the responder's y."""
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        private, public = (self._e if ours == "e" else self._s), (self._re if theirs == "e" else self.rs)
        self._ck, key = _hkdf(self._ck, private.exchange(X25519PublicKey.from_public_bytes(public)))
        self._cipher = Cipher(key)

    def _mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def _seal(self, plain: bytes) -> bytes:
        sealed = plain if self._cipher is None else self._cipher.encrypt(self.h, plain)
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        plain = sealed if self._cipher is None else self._cipher.decrypt(self.h, sealed)
        self._mix_hash(sealed)
        return plain
