"""The keys of a running process: read again when their files change, and kept when the new ones are bad."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import structlog

from app.auth.key_ring import Fingerprint, KeyRing, KeyRingError, SigningKey, VerificationKey, fingerprint
from app.core.settings import Settings

LOOK_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class LiveKeys:
    """A ring that follows its folder. Keys of a variable stay: a process gets new ones when it is started."""

    def __init__(
        self, ring: KeyRing, directory: Path | None = None, *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self.ring = ring
        self._directory = directory
        # Nothing has been seen yet: what changed since the ring was read must not be missed.
        self._seen: Fingerprint | None = None
        self._fault: str | None = None
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None
        self._on_change: Callable[[], None] = lambda: None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Raises KeyRingError."""
        return cls(KeyRing.from_settings(settings), settings.jwt_keys_dir)

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs now."""
        return self.ring.signing_key

    def verification_key(self, kid: str) -> VerificationKey | None:
        """The key with this id, or None."""
        return self.ring.verification_key(kid)

    def jwks(self) -> dict[str, Any]:
        """The public keys as RFC 7517 has them."""
        return self.ring.jwks()

    def on_change(self, hear: Callable[[], None]) -> None:
        """Tell one listener that other keys verify from now on."""
        self._on_change = hear

    def start(self) -> None:
        """Begin to look at the folder in the background."""
        if self._directory is not None:
            self._task = asyncio.create_task(self._follow(self._directory), name="live-keys")

    async def stop(self) -> None:
        """End that."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self, directory: Path) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            # RSA keys are checked when they are read, which takes long enough to hold up requests.
            ring = await asyncio.to_thread(self._read_if_changed, directory)
            if ring is not None and ring.kids != self.ring.kids:
                self.ring = ring
                self._on_change()
                log.info("signing_keys_reloaded", signs=ring.signing_key.kid)

    def _read_if_changed(self, directory: Path) -> KeyRing | None:
        """Never raises: a process with good keys goes on with them, and tries again."""
        try:
            now = fingerprint(directory)
            if now == self._seen:
                return None
            ring = KeyRing.load(directory)
        except (KeyRingError, OSError) as error:
            if str(error) != self._fault:
                log.error("signing_keys_not_reloaded", reason=str(error), signs=self.ring.signing_key.kid)
            self._fault = str(error)
            return None
        self._seen, self._fault = now, None
        return ring
