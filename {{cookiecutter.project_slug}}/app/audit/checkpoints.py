"""Checkpoints: where a trail ended at a moment, signed, to be kept where nobody can rewrite them.

A checkpoint is a JWS (RFC 7515) of a type of its own. It has no issuer, audience, subject or expiry, so that
nothing takes it for a token.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from app.audit.chain import GENESIS, Link
from app.audit.errors import InvalidCheckpoint
from app.auth.key_ring import Keys
from app.auth.tokens import InvalidToken, JWSCodec, uuid_claim
from app.core.database import utc_now

CHECKPOINT_TYPE: Final = "audit-checkpoint+jwt"
MEDIA_TYPE: Final = "application/jose"
_MEMBERS: Final = frozenset({"tenant_id", "sequence", "hash", "at"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`tenant_id` is None for the trail of the platform."""

    tenant_id: UUID | None
    link: Link
    at: datetime


class CheckpointCodec:
    """Signs with the current key of the ring, and reads what any of its keys has signed."""

    def __init__(self, key_ring: Keys) -> None:
        self._codec = JWSCodec(key_ring, object_type=CHECKPOINT_TYPE)

    def sign(self, tenant_id: UUID | None, link: Link, now: datetime | None = None) -> str:
        """A checkpoint in one line."""
        at = (now or utc_now()).astimezone(UTC)
        return self._codec.sign(
            {
                "tenant_id": None if tenant_id is None else str(tenant_id),
                "sequence": link.sequence,
                "hash": link.hash.hex(),
                "at": at.isoformat(timespec="seconds"),
            }
        )

    def read(self, signed: str) -> Checkpoint:
        """Raises InvalidCheckpoint."""
        try:
            return _checkpoint(self._codec.open(signed))
        except InvalidToken as error:
            raise InvalidCheckpoint(f"It was refused for its {error.reason}.") from None
        except (ValueError, TypeError):
            raise InvalidCheckpoint("It was refused for its content.") from None

    def read_lines(self, lines: Iterable[str]) -> list[Checkpoint]:
        """One checkpoint in each line that is not blank. Raises InvalidCheckpoint, which names the line."""
        found = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found.append(self.read(line.strip()))
            except InvalidCheckpoint as error:
                raise InvalidCheckpoint(f"Line {number}: {error.detail}") from None
        return found


def _checkpoint(members: Mapping[str, Any]) -> Checkpoint:
    if set(members) != _MEMBERS:
        raise ValueError("a checkpoint has other members")
    tenant_id = None if members["tenant_id"] is None else uuid_claim(members["tenant_id"])
    digest = bytes.fromhex(members["hash"])
    if len(digest) != len(GENESIS.hash):
        raise ValueError("a link has 32 bytes")
    sequence = members["sequence"]
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < 2**63:
        raise ValueError("a sequence is a number from 0 on")
    return Checkpoint(tenant_id, Link(sequence, digest), datetime.fromisoformat(members["at"]))
