"""The RSA keys of this service: one signs, all verify, each found by its RFC 7638 thumbprint."""

import base64
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
    generate_private_key,
)
from jose.backends.cryptography_backend import CryptographyRSAKey

from app.core.settings import Settings, key_files

ALGORITHM: Final = "RS256"
MIN_BITS: Final = 2048
MIN_EXPONENT: Final = 65537
GENERATED_BITS: Final = 2048
CURRENT: Final = "current.pem"
NEXT: Final = "next.pem"
RETIRED_PATTERN: Final = "retired-*.pem"


class KeyRingError(Exception):
    """The keys cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """`prepared` is python-jose's key object, built once: building it per call costs a hundredfold."""

    kid: str
    jwk: Mapping[str, str]
    prepared: Any


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    prepared: Any


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`current` signs; `next` is published before it signs; `retired` verify what they signed."""

    signing_key: SigningKey
    verification_keys: Mapping[str, VerificationKey]

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read `current.pem`, and `next.pem` and `retired-*.pem` where they exist. Raises KeyRingError."""
        if not (directory / CURRENT).is_file():
            raise KeyRingError(f"{directory / CURRENT}: missing; `python -m app keys generate` makes one")
        private = _load_private(directory / CURRENT)
        others = [
            path for path in (directory / NEXT, *sorted(directory.glob(RETIRED_PATTERN))) if path.exists()
        ]
        return cls._of(private, [_load_public(path) for path in others])

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> Self:
        """As `load`, from the contents of files by their names; one with another name is refused."""
        for name in files:
            if name not in {CURRENT, NEXT} and not fnmatchcase(name, RETIRED_PATTERN):
                raise KeyRingError(
                    "APP_JWT_KEYS: holds a file that is not current.pem, next.pem or retired-*.pem"
                )
        if CURRENT not in files:
            raise KeyRingError(f"APP_JWT_KEYS: holds no {CURRENT}; `python -m app keys bundle` adds it")
        private = _read_private(f"APP_JWT_KEYS: {CURRENT}", files[CURRENT].encode())
        others = [name for name in (NEXT, *sorted(set(files) - {CURRENT, NEXT})) if name in files]
        return cls._of(
            private, [_read_public(f"APP_JWT_KEYS: {name}", files[name].encode()) for name in others]
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """From where the settings say. Raises KeyRingError."""
        if settings.jwt_keys is not None:
            return cls.from_files(key_files(settings.jwt_keys))
        assert settings.jwt_keys_dir is not None  # noqa: S101  # the settings have exactly one of the two
        return cls.load(settings.jwt_keys_dir)

    def trusting(self, jwks: Any) -> "KeyRing":
        """A ring that verifies with the keys of a JWK set (RFC 7517) too. Raises KeyRingError."""
        keys = jwks.get("keys") if isinstance(jwks, dict) else None
        if not isinstance(keys, list):
            raise KeyRingError("not a JWK set: it has no list `keys`")
        others = {key.kid: key for key in map(_verification_key, map(_jwk_public, keys))}
        return KeyRing(self.signing_key, {**others, **self.verification_keys})

    @classmethod
    def _of(cls, private: RSAPrivateKey, others: Iterable[RSAPublicKey]) -> Self:
        current = _verification_key(private.public_key())
        keys = {key.kid: key for key in (current, *map(_verification_key, others))}
        return cls(SigningKey(current.kid, _prepare(_private_pem(private))), keys)

    def verification_key(self, kid: str) -> VerificationKey | None:
        """The key with this id, or None."""
        return self.verification_keys.get(kid)

    def jwks(self) -> dict[str, Any]:
        """The public keys as RFC 7517 has them."""
        return {"keys": [dict(key.jwk) for key in self.verification_keys.values()]}


def generate_key_pair(directory: Path) -> bool:
    """Write a new `current.pem` (0600) unless there is one. True when it was written.

    Written beside and linked into place, so that a crash leaves no half key and two callers no two keys.
    """
    target = directory / CURRENT
    if target.exists():
        return False
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = _private_pem(generate_private_key(public_exponent=65537, key_size=GENERATED_BITS))
    # A random name (0600): process ids repeat in containers, and a crash may have left one behind.
    descriptor, name = tempfile.mkstemp(prefix=f".{CURRENT}.", dir=directory)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, target)
    except FileExistsError:
        return False
    finally:
        scratch.unlink(missing_ok=True)
    return True


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 over the required members in lexical order."""
    canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def bundle(directory: Path) -> str:
    """The files of a folder as one text, as APP_JWT_KEYS takes it. Raises KeyRingError."""
    KeyRing.load(directory)
    paths = (directory / CURRENT, directory / NEXT, *sorted(directory.glob(RETIRED_PATTERN)))
    return json.dumps({path.name: path.read_text() for path in paths if path.exists()})


def _load_private(path: Path) -> RSAPrivateKey:
    _refuse_readable_by_others(path)
    return _read_private(str(path), _content(path))


def _load_public(path: Path) -> RSAPublicKey:
    """The public half of a private or public PEM file."""
    content = _content(path)
    if b"PRIVATE KEY" in content:
        _refuse_readable_by_others(path)
    return _read_public(str(path), content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise KeyRingError(f"{path}: not readable") from None


def _read_private(source: str, content: bytes) -> RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRingError(f"{source}: not a readable, unencrypted PEM private key") from None
    if not isinstance(key, RSAPrivateKey):
        raise KeyRingError(f"{source}: not an RSA key")
    _refuse_weak(source, key.public_key())
    return key


def _read_public(source: str, content: bytes) -> RSAPublicKey:
    if b"PRIVATE KEY" in content:
        return _read_private(source, content).public_key()
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRingError(f"{source}: not a readable PEM key") from None
    if not isinstance(key, RSAPublicKey):
        raise KeyRingError(f"{source}: not an RSA key")
    _refuse_weak(source, key)
    return key


def _jwk_public(jwk: Any) -> RSAPublicKey:
    """An RSA key of a JWK set; its `kid` is not believed but made anew. Raises KeyRingError."""
    try:
        n, e = (int.from_bytes(base64.urlsafe_b64decode(f"{jwk[name]}==")) for name in ("n", "e"))
        key = RSAPublicNumbers(e, n).public_key()
    except (KeyError, TypeError, ValueError):
        raise KeyRingError("a JWK set holds a key that is no RSA key") from None
    _refuse_weak("a key of the JWK set", key)
    return key


def _refuse_readable_by_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyRingError(f"{path}: mode {mode:04o} lets others read it; run `chmod 600 {path}`")


def _refuse_weak(source: str, key: RSAPublicKey) -> None:
    if key.key_size < MIN_BITS:
        raise KeyRingError(f"{source}: {key.key_size} bits; make a key of at least {MIN_BITS}")
    if key.public_numbers().e < MIN_EXPONENT:
        raise KeyRingError(f"{source}: its exponent is too small; make a key with {MIN_EXPONENT}")


def _verification_key(key: RSAPublicKey) -> VerificationKey:
    numbers = key.public_numbers()
    members = {"kty": "RSA", "n": _base64url_uint(numbers.n), "e": _base64url_uint(numbers.e)}
    kid = thumbprint(members)
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(kid, {**members, "kid": kid, "use": "sig", "alg": ALGORITHM}, _prepare(pem))


def _private_pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _prepare(pem: bytes) -> Any:
    return CryptographyRSAKey(pem.decode(), ALGORITHM)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _base64url_uint(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
