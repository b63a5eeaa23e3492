"""The steps of a key rotation: which is next, from when on, and what it makes of the files."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from app.auth.key_folder import KeyFile, KeyFiles, key_file
from app.auth.key_ring import CURRENT, NEXT, KeyRing, KeyRingError, kid_of, new_private_pem, public_pem_of
from app.auth.tokens import LEEWAY
from app.core.settings import MAX_ACCESS_TOKEN_SECONDS

# For so long others may keep the published keys, so a key is published for longer before it signs.
JWKS_MAX_AGE: Final = timedelta(minutes=5)
PUBLISHED_FOR: Final = JWKS_MAX_AGE + timedelta(minutes=1)
# A rolling deployment, until the end of which old processes sign with the old key.
ROLLOUT: Final = timedelta(hours=1)
RETIRED_FOR: Final = timedelta(seconds=MAX_ACCESS_TOKEN_SECONDS) + LEEWAY + ROLLOUT


class Step(StrEnum):
    PREPARE = "prepare"
    PROMOTE = "promote"
    DROP = "drop"
    REPLACE = "replace"


class NotYet(KeyRingError):
    """The step would break tokens or clients; the message says when it will not."""


@dataclass(frozen=True, slots=True)
class Due:
    """The step that comes next, and from when on; at any time without one."""

    step: Step
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done, to which keys, and what the files are now."""

    step: Step
    kids: tuple[str, ...]
    files: KeyFiles


def due(files: KeyFiles) -> Due:
    """A rotation is prepare, promote, drop; each is derived from the files alone, so a crash resumes."""
    if NEXT in files:
        return Due(Step.PROMOTE, files[NEXT].since + PUBLISHED_FOR)
    if retired := _retired(files):
        return Due(Step.DROP, min(file.since for file in retired.values()) + RETIRED_FOR)
    return Due(Step.PREPARE, None)


def rotate(files: KeyFiles, now: datetime, *, wait: bool = True) -> Rotation:
    """Take the step that is due. Without `wait` a key is promoted before everybody can know it; none is ever
    dropped early, since that would refuse tokens of ours. Raises NotYet and KeyRingError."""
    coming = due(files)
    skips = coming.step is Step.PROMOTE and not wait
    if coming.at is not None and now < coming.at and not skips:
        raise NotYet(_not_yet(coming))
    return {Step.PREPARE: _prepare, Step.PROMOTE: _promote, Step.DROP: _drop}[coming.step](files, now)


def replace_compromised(files: KeyFiles, now: datetime) -> Rotation:
    """A new key and nothing else: what lay beside a stolen key may have been stolen with it."""
    gone = tuple(dict.fromkeys(kid_of(name, file.content) for name, file in files.items()))
    return Rotation(Step.REPLACE, gone, {CURRENT: key_file(new_private_pem(), now)})


def refuse_interruption(before: KeyRing, after: KeyRing) -> None:
    """While processes change from one ring to the other, each must accept what the other signs. Raises
    KeyRingError."""
    if before.verification_key(after.signing_key.kid) is None:
        raise KeyRingError(
            f"{after.signing_key.kid} would sign, and what runs does not know it: publish it as {NEXT} first"
        )
    if after.verification_key(before.signing_key.kid) is None:
        raise KeyRingError(
            f"{before.signing_key.kid} signs, and would verify no more: keep its public half as retired-….pem"
        )


def _prepare(files: KeyFiles, now: datetime) -> Rotation:
    made = key_file(new_private_pem(), now)
    return Rotation(Step.PREPARE, (kid_of(NEXT, made.content),), {**files, NEXT: made})


def _promote(files: KeyFiles, now: datetime) -> Rotation:
    """Of the old key the public half is kept: what it signed stays good, and nobody signs with it again."""
    old = files[CURRENT].content
    retired = {f"retired-{kid_of(CURRENT, old)}.pem": key_file(public_pem_of(CURRENT, old), now)}
    changed = {CURRENT: files[NEXT], **_retired(files), **retired}
    return Rotation(Step.PROMOTE, (kid_of(NEXT, files[NEXT].content),), changed)


def _drop(files: KeyFiles, now: datetime) -> Rotation:
    over = {name: file for name, file in _retired(files).items() if file.since + RETIRED_FOR <= now}
    kept = {name: file for name, file in files.items() if name not in over}
    return Rotation(Step.DROP, tuple(kid_of(name, file.content) for name, file in over.items()), kept)


def _retired(files: KeyFiles) -> dict[str, KeyFile]:
    return {name: file for name, file in files.items() if name not in {CURRENT, NEXT}}


def _not_yet(coming: Due) -> str:
    assert coming.at is not None  # noqa: S101  # what is due at any time is never too early
    at = coming.at.isoformat(timespec="seconds")
    if coming.step is Step.PROMOTE:
        return f"others may not know the next key yet: rotate again at {at}, or with --now if they do"
    return f"tokens of the retired key may still be in use: rotate again at {at}"
