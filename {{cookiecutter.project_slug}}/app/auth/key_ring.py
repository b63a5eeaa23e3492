"""The RSA keys of this service: one signs, all verify, each found by its RFC 7638 thumbprint."""

import base64
import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Protocol, Self

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
LOAD_ATTEMPTS: Final = 5

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


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


class Keys(Protocol):
    """What a codec needs: the key that signs now, and those that verify."""

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs."""

    def verification_key(self, kid: str) -> VerificationKey | None:
        """The key with this id, or None."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`current` signs; `next` is published before it signs; `retired` verify what they signed."""

    signing_key: SigningKey
    verification_keys: Mapping[str, VerificationKey]

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read `current.pem`, and `next.pem` and `retired-*.pem` where they exist. Raises KeyRingError.

        All of one moment: a rotation that goes on meanwhile is waited for, or a key could be missed.
        """
        for _ in range(LOAD_ATTEMPTS):
            before = fingerprint(directory)
            try:
                ring = cls._load_once(directory)
            except (KeyRingError, OSError):
                if fingerprint(directory) == before:
                    raise
            else:
                if fingerprint(directory) == before:
                    return ring
        raise KeyRingError(f"{directory}: its files do not stop changing; who writes them?")

    @classmethod
    def _load_once(cls, directory: Path) -> Self:
        if not (directory / CURRENT).is_file():
            raise KeyRingError(f"{directory / CURRENT}: missing; `python -m app keys generate` makes one")
        private = _load_private(directory / CURRENT)
        others = [path for path in key_paths(directory) if path.name != CURRENT]
        return cls._of(private, [_load_public(path) for path in others])

    @classmethod
    def from_files(cls, files: Mapping[str, str], source: str = "APP_JWT_KEYS") -> Self:
        """As `load`, from the contents of files by their names; one with another name is refused."""
        for name in files:
            if name not in {CURRENT, NEXT} and not fnmatchcase(name, RETIRED_PATTERN):
                raise KeyRingError(
                    f"{source}: holds a file that is not current.pem, next.pem or retired-*.pem"
                )
        if CURRENT not in files:
            raise KeyRingError(f"{source}: holds no {CURRENT}; `python -m app keys bundle` adds it")
        private = _read_private(f"{source}: {CURRENT}", files[CURRENT].encode())
        others = [name for name in (NEXT, *sorted(set(files) - {CURRENT, NEXT})) if name in files]
        return cls._of(private, [_read_public(f"{source}: {name}", files[name].encode()) for name in others])

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

    @property
    def kids(self) -> tuple[str, ...]:
        """Of all keys; the first one's signs."""
        return tuple(self.verification_keys)

    def verification_key(self, kid: str) -> VerificationKey | None:
        """The key with this id, or None."""
        return self.verification_keys.get(kid)

    def jwks(self) -> dict[str, Any]:
        """The public keys as RFC 7517 has them."""
        return {"keys": [dict(key.jwk) for key in self.verification_keys.values()]}


def key_paths(directory: Path) -> list[Path]:
    """The files of a ring that are there, in the order in which their keys are published."""
    paths = (directory / CURRENT, directory / NEXT, *sorted(directory.glob(RETIRED_PATTERN)))
    return [path for path in paths if path.exists()]


def fingerprint(directory: Path) -> Fingerprint:
    """Another one whenever a file of the ring was written, replaced, deleted or given another mode."""
    found = []
    for path in key_paths(directory):
        try:
            state = path.stat()
        except FileNotFoundError:  # Since it was listed.
            continue
        found.append((path.name, state.st_ino, state.st_mtime_ns, state.st_size, state.st_mode))
    return tuple(found)


def new_private_pem() -> str:
    """A new key, as it stands in a file."""
    return _private_pem(generate_private_key(public_exponent=MIN_EXPONENT, key_size=GENERATED_BITS)).decode()


def public_pem_of(source: str, pem: str) -> str:
    """The public half of a private PEM, as it stands in a file. Raises KeyRingError."""
    return _public_pem(_read_public(source, pem.encode())).decode()


def kid_of(source: str, pem: str) -> str:
    """The id of the key in a private or public PEM. Raises KeyRingError."""
    return _verification_key(_read_public(source, pem.encode())).kid


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 over the required members in lexical order."""
    canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


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
    jwk = {**members, "kid": kid, "use": "sig", "alg": ALGORITHM}
    return VerificationKey(kid, jwk, _prepare(_public_pem(key)))


def _public_pem(key: RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


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
