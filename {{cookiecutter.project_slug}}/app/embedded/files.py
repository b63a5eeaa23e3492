"""Small files that must never be half-written or readable by others, and a lock between processes."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.errors import EmbeddedError


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter. Raises EmbeddedError when that is impossible."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"{path}: cannot be made ({error.strerror}); is the disk writable?") from error
    return path


def write_private(path: Path, content: str) -> None:
    """Replace a file (0600) in one step that survives a crash. Raises EmbeddedError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise EmbeddedError(f"{path}: cannot be written ({error.strerror})") from error


def secret_in(path: Path) -> str:
    """The secret kept in a file, made on first use."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory against other processes; they wait."""
    private_directory(directory)
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
