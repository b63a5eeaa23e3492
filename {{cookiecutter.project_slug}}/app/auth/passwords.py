"""Hashes passwords and key secrets with bcrypt, in threads, a bounded number at a time."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple

from passlib.context import CryptContext

from app.auth.common_passwords import is_common

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 128
MIN_CONTEXT_LENGTH: Final = 4
# Well-formed, and the hash of nothing anybody knows: verifying against it costs what a real one costs.
DUMMY_HASH: Final = (
    "$bcrypt-sha256$v=2,t=2b,r={rounds}$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2"
)


class WeakPassword(ValueError):
    """The password is not acceptable; the message says what is."""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`new_hash` is set when the stored hash is valid but weaker than today's settings."""

    valid: bool
    new_hash: str | None = None


class PasswordHasher:
    """bcrypt over SHA-256 (`bcrypt_sha256`), so that no byte beyond the 72nd is lost.

    bcrypt releases the GIL; the pool's size bounds how much CPU a storm of log-ins can take from requests.
    """

    def __init__(self, *, rounds: int, workers: int) -> None:
        self._context = CryptContext(
            schemes=["bcrypt_sha256"], bcrypt_sha256__default_rounds=rounds, bcrypt_sha256__min_rounds=rounds
        )
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="bcrypt")
        self._dummy_hash = DUMMY_HASH.format(rounds=rounds)

    async def hash(self, password: str) -> str:
        """A salted hash."""
        return await self._run(self._hash, password)

    async def verify(self, password: str, stored: str | None) -> VerifyResult:
        """Compare; for an unknown user pass None, and the same work is done before the answer is no."""
        return await self._run(self._verify, password, stored)

    def close(self) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[*Ts], R], *arguments: *Ts) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _hash(self, password: str) -> str:
        return str(self._context.hash(normalize(password)))

    def _verify(self, password: str, stored: str | None) -> VerifyResult:
        normalized = normalize(password)
        if stored is None:
            return self._refuse_at_full_cost()
        try:
            valid, new_hash = self._context.verify_and_update(normalized, stored)
        except ValueError:
            # A damaged hash, or text no hash can be of (a lone surrogate, thousands of characters).
            return self._refuse_at_full_cost()
        return VerifyResult(valid=bool(valid), new_hash=new_hash)

    def _refuse_at_full_cost(self) -> VerifyResult:
        self._context.verify("", self._dummy_hash)
        return VerifyResult(valid=False)


def normalize(password: str) -> str:
    """NFKC, so that the same password typed on another keyboard is the same bytes (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def validate_password(password: str, *, context: Sequence[str] = ()) -> None:
    """Raises WeakPassword unless the length is right, it is not common, and no word of `context` carries it.

    Every place where a password is set asks this. `context` holds the email and the names of the person, the
    tenant and the service. Follows NIST SP 800-63B-4, 3.1.1.2: length, a blocklist, no composition rules.
    """
    normalized = normalize(password)
    if not MIN_LENGTH <= len(normalized) <= MAX_LENGTH:
        raise WeakPassword(f"must have {MIN_LENGTH} to {MAX_LENGTH} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in normalized):
        raise WeakPassword("must not contain control characters")
    if len(set(normalized)) < 4:
        raise WeakPassword("must not repeat a few characters")
    if is_common(normalized):
        raise WeakPassword("is among the most common ones, or one of them with digits or signs around it")
    folded = normalized.casefold()
    for word in _words(context):
        if len(word) >= MIN_CONTEXT_LENGTH and word in folded and len(word) * 2 > len(folded):
            raise WeakPassword("must not be built from your name or email, or the name of the organisation")


def _words(context: Sequence[str]) -> Iterator[str]:
    """Each of them, without its spaces, and of an email what stands before the @."""
    for text in context:
        known = normalize(text).casefold()
        yield known
        yield "".join(known.split())
        yield known.partition("@")[0]
