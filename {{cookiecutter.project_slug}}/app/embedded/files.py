"""Small files that must never be half-written or readable by others, and a lock between processes."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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


def append_private(path: Path) -> BinaryIO:
    """Open a file to append to, made for its owner alone (0600). Raises EmbeddedError."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    except OSError as error:
        raise EmbeddedError(f"{path}: cannot be written ({error.strerror})") from error


@contextmanager
def locked(directory: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a directory against other processes; they wait, and call `waiting` first."""
    private_directory(directory)
    with append_private(directory / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
