"""The key files of a ring, with their times: in a folder or as one text, and how a folder is changed."""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.auth.key_ring import CURRENT, NEXT, KeyRing, KeyRingError, key_paths, new_private_pem

# RFC 7468, section 2: what stands before the first boundary is explanation, which parsers ignore. So a time
# travels with its key through copies, bundles and secrets, which a file's own time does not.
NOTE: Final = re.compile(r"\ASince: (\S+)\n")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """`since`: when a private key was made, which is when `next.pem` was published; when one was retired."""

    content: str
    since: datetime


KeyFiles = Mapping[str, KeyFile]


def key_file(pem: str, since: datetime) -> KeyFile:
    """A file that says itself since when; one that says so already keeps its time."""
    noted = NOTE.match(pem)
    if noted is None:
        since = since.replace(microsecond=0)
        return KeyFile(f"Since: {since.isoformat()}\n{pem}", since)
    try:
        moment = datetime.fromisoformat(noted[1])
    except ValueError:
        moment = since
    return KeyFile(pem, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def read_folder(directory: Path) -> dict[str, KeyFile]:
    """The files of a ring that loads. Raises KeyRingError."""
    KeyRing.load(directory)
    return {
        path.name: key_file(path.read_text(), datetime.fromtimestamp(path.stat().st_mtime, UTC))
        for path in key_paths(directory)
    }


def bundle(files: KeyFiles) -> str:
    """All files as one text, as APP_JWT_KEYS takes it."""
    return json.dumps({name: file.content for name, file in files.items()})


def unbundled(contents: Mapping[str, str], source: str, since: datetime) -> dict[str, KeyFile]:
    """The files of a bundle; one that does not say since when is from `since`. Raises KeyRingError."""
    KeyRing.from_files(contents, source)
    return {name: key_file(content, since) for name, content in contents.items()}


def generate_key_pair(directory: Path) -> bool:
    """Write a new `current.pem` (0600) unless there is one. True when it was written.

    Linked into place, so that a crash leaves no half key and two callers no two keys.
    """
    if (directory / CURRENT).exists():
        return False
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _scratch(directory, CURRENT, key_file(new_private_pem(), datetime.now(UTC)).content) as scratch:
        try:
            os.link(scratch, directory / CURRENT)
        except FileExistsError:
            return False
    _flush_names(directory)
    return True


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a folder against other commands that change it. Raises KeyRingError when one does already."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KeyRingError(f"{directory}: another command is changing these keys; try again") from None
        yield
    finally:
        os.close(descriptor)


def change_folder(directory: Path, old: KeyFiles, new: KeyFiles) -> None:
    """Make the files of a folder those of `new`. Whoever holds it has read `old`.

    A crash leaves a ring that loads and in which every key of a rotation still verifies: what retires is
    written first, `current.pem` is replaced in one step (by `next.pem` itself when that is promoted), and
    what goes, goes last.
    """
    for name, file in new.items():
        if name not in {CURRENT, NEXT} and old.get(name) != file:
            _replace(directory, name, file.content)
    _flush_names(directory)
    if new[CURRENT] != old[CURRENT]:
        if NEXT in old and new[CURRENT] == old[NEXT] and NEXT not in new:
            (directory / NEXT).replace(directory / CURRENT)
        else:
            _replace(directory, CURRENT, new[CURRENT].content)
    if NEXT in new and old.get(NEXT) != new[NEXT]:
        _replace(directory, NEXT, new[NEXT].content)
    for name in set(old) - set(new):
        (directory / name).unlink(missing_ok=True)
    _flush_names(directory)


def _replace(directory: Path, name: str, content: str) -> None:
    with _scratch(directory, name, content) as scratch:
        scratch.replace(directory / name)


@contextmanager
def _scratch(directory: Path, name: str, content: str) -> Iterator[Path]:
    """A file (0600) that is on the disk before it takes its place, and gone when it did not."""
    # A random name: process ids repeat in containers, and a crash may have left one behind.
    descriptor, path = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)


def _flush_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
