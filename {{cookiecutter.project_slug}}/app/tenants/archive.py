"""The file that holds one tenant: a tar of CSV files, written whole or not at all, and checked before use.

Reading never writes to disk and follows no name: a member is a plain file with a known name, or the archive
is refused.
"""

import asyncio
import csv
import fcntl
import gzip
import hashlib
import io
import os
import re
import secrets
import tarfile
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from app.tenants import manifest as manifest_module
from app.tenants.copying import Progress, unseen
from app.tenants.errors import UnusableArchive, UnwritableArchive
from app.tenants.manifest import ArchivedTable, Manifest

CHUNK_BYTES: Final = 256 * 1024
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024
COMPRESSION_LEVEL: Final = 6
_KNOWN_MEMBER: Final = re.compile(
    r"manifest\.json|(?:tables|platform)/(?:[a-z_][a-z0-9_]{0,62}|-[0-9a-f]{32})\.csv"
)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_COMPRESSED: Final = (".tar.gz", ".tgz")
_DAMAGED: Final = "It is damaged or cut off."


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that was read once and found whole. `digest` names its content."""

    path: Path
    manifest: Manifest
    digest: str

    @contextmanager
    def opened(self) -> Iterator[Iterator["Member"]]:
        """Its members but the manifest, in order. Raises UnusableArchive."""
        with _opened(self.path) as stream:
            yield (member for member in _members(stream) if member.name != manifest_module.MEMBER)


@dataclass(slots=True)
class Member:
    """A file in an archive, read once and in order. Raises UnusableArchive where it ends too early."""

    name: str
    size: int
    stream: IO[bytes]
    position: int = 0

    def chunks(self) -> Iterator[bytes]:
        """What was not read yet."""
        while self.position < self.size:
            chunk = _exactly(self.stream, min(CHUNK_BYTES, self.size - self.position))
            self.position += len(chunk)
            yield chunk

    async def checked(self, entry: ArchivedTable, progress: Progress) -> AsyncIterator[bytes]:
        """The content, which must still be what the manifest says when its end is reached."""
        measure = Measure()
        chunks = self.chunks()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            measure.update(chunk)
            progress(entry.table, measure.size)
            yield chunk
        if measure.sha256 != entry.sha256:
            raise UnusableArchive(f"{self.name} was changed while it was read.")


@dataclass(slots=True)
class Measure:
    """What the manifest tells of a CSV file, found out in passing."""

    size: int = 0
    header: bytes = b""
    _lines: int = 0
    _quoted: bool = False
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def update(self, chunk: bytes) -> None:
        """A line break between quotes belongs to a value."""
        if not self._lines and len(self.header) <= MAX_HEADER_BYTES:
            self.header += chunk[:MAX_HEADER_BYTES]
        self.size += len(chunk)
        self._hash.update(chunk)
        for number, piece in enumerate(chunk.split(b'"')):
            self._quoted ^= number > 0
            if not self._quoted:
                self._lines += piece.count(b"\n")

    @property
    def rows(self) -> int:
        return self._lines - 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in the header; none where it cannot be read."""
        try:
            return tuple(
                next(csv.reader(io.StringIO(self.header.decode("utf-8", "replace"), newline="")), ())
            )
        except csv.Error:
            return ()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def verify(path: Path, progress: Progress = unseen) -> Archive:
    """Read a whole archive and hold it against its manifest. Raises UnusableArchive."""
    found: dict[str, Measure] = {}
    content: bytes | None = None
    with _opened(path) as stream:
        for member in _members(stream):
            if content is not None or member.name in found:
                raise UnusableArchive(f"{member.name} stands where nothing more belongs.")
            if member.name == manifest_module.MEMBER:
                content = _manifest_bytes(member)
                continue
            measure = found[member.name] = Measure()
            for chunk in member.chunks():
                measure.update(chunk)
                progress(member.name, measure.size)
    if content is None:
        raise UnusableArchive("It has no manifest, which stands last: it was cut off, or is something else.")
    manifest = Manifest.parse(content)
    _compare(manifest, found)
    return Archive(path, manifest, hashlib.sha256(content).hexdigest())


def refuse_target(path: Path) -> None:
    """Raises UnwritableArchive for another ending, and for a file that exists."""
    if not path.name.endswith((".tar", *_COMPRESSED)):
        raise UnwritableArchive(f"{path}: the name must end in .tar, .tar.gz or .tgz.")
    if path.exists() or path.is_symlink():
        raise UnwritableArchive(f"{path} exists; it is not overwritten.")


class ArchiveWriter:
    """Adds members to a file that nobody sees before it is whole. Raises UnwritableArchive."""

    def __init__(self, path: Path, file: IO[bytes], created: float) -> None:
        self._path = path
        self._created = created
        compressed = path.name.endswith(_COMPRESSED)
        self._zipped = gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, created) if compressed else None
        self._tar = tarfile.TarFile(fileobj=self._zipped or file, mode="w", format=tarfile.GNU_FORMAT)

    @contextmanager
    def spool(self) -> Iterator[IO[bytes]]:
        """A nameless file for one member: a tar needs the size first. Only this process can read it."""
        with _disk(self._path):
            file = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115  # closed below
        try:
            yield file
        finally:
            with suppress(OSError):
                file.close()

    def write(self, spool: IO[bytes], chunk: bytes) -> None:
        """Append to what was spooled."""
        with _disk(self._path):
            spool.write(chunk)

    def add(self, name: str, spool: IO[bytes], size: int) -> None:
        """Append a member from what was spooled."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, self._created
        with _disk(self._path):
            spool.seek(0)
            self._tar.addfile(member, spool)

    def finish(self) -> None:
        """Write the end of the archive."""
        self._tar.close()
        self.close()

    def close(self) -> None:
        if self._zipped is not None:
            self._zipped.close()


@contextmanager
def written(path: Path, created: float) -> Iterator[ArchiveWriter]:
    """Write an archive (0600) beside its place; it gets its name when it is whole and on disk.

    Raises UnwritableArchive.
    """
    refuse_target(path)
    with _disk(path):
        _remove_leftovers(path)
        scratch, file = _open_scratch(path)
    writer = ArchiveWriter(path, file, created)
    try:
        yield writer
        with _disk(path):
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
            _name(scratch, path)
    finally:
        for half_written in (writer, file):
            with suppress(OSError):  # On a full disk the rest cannot be written; it is deleted anyway.
                half_written.close()
        scratch.unlink(missing_ok=True)


def _open_scratch(path: Path) -> tuple[Path, IO[bytes]]:
    """A locked file beside `path`, under a name that nobody else chose."""
    while True:
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        file = os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        with suppress(OSError):  # A file system without locks: nobody can take it for a leftover either.
            fcntl.flock(file, fcntl.LOCK_EX)
        if scratch.exists():  # Else another export took it for a leftover before it was locked.
            return scratch, file
        file.close()


def _remove_leftovers(path: Path) -> None:
    """Delete what killed exports to this name left: it holds hashes.

    A lock ends with its process, also with one on another machine or in another container, of which the
    number in the name would say nothing.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.[0-9a-f]{{8}}")
    for found in [one for one in path.parent.iterdir() if name.fullmatch(one.name)]:
        with suppress(OSError):  # Being written, another user's, or gone meanwhile.
            descriptor = os.open(found, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Say which file it was that the disk refused."""
    try:
        yield
    except OSError as error:
        raise UnwritableArchive(f"{path}: {error.strerror or type(error).__name__}.") from None


def _name(scratch: Path, path: Path) -> None:
    """A link, unlike a rename, never replaces what somebody else wrote meanwhile."""
    try:
        path.hardlink_to(scratch)
    except FileExistsError:
        raise UnwritableArchive(f"{path} exists; it is not overwritten.") from None
    except OSError:  # A file system without links.
        scratch.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    # A pipe would be waited for, and cannot be read twice.
    if path.exists() and not path.is_file():
        raise UnusableArchive(f"{path}: it is no regular file.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnusableArchive(f"{path}: {error.strerror}.") from None
    with file:
        is_compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not is_compressed:
            yield file
            return
        with gzip.open(file) as unzipped:
            yield unzipped  # type: ignore[misc]  # a GzipFile is an IO[bytes] in all that is used here


def _members(stream: IO[bytes]) -> Iterator[Member]:
    """Every member, the rest of the one before skipped.

    Headers are read one by one rather than by TarFile, which would follow extended headers of any size and
    take a damaged header for the end.
    """
    while True:
        try:
            header = tarfile.TarInfo.frombuf(_exactly(stream, tarfile.BLOCKSIZE), "utf-8", "strict")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the type stubs
            _refuse_more(stream)
            return
        except (tarfile.HeaderError, UnicodeDecodeError):
            raise UnusableArchive(_DAMAGED) from None
        if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or not _KNOWN_MEMBER.fullmatch(header.name):
            raise UnusableArchive(f"{header.name!r} does not belong into an archive of a tenant.")
        if header.size < 0:
            raise UnusableArchive(_DAMAGED)
        member = Member(header.name, header.size, stream)
        yield member
        for _ in member.chunks():
            pass
        _exactly(stream, -header.size % tarfile.BLOCKSIZE)


def _refuse_more(stream: IO[bytes]) -> None:
    """After the first block of zeros: a second, padding up to a record, and then the end (POSIX, pax).

    Reading up to it is what makes gzip compare its checksum.
    """
    rest = _at_most(stream, tarfile.RECORDSIZE + 1)
    if not tarfile.BLOCKSIZE <= len(rest) <= tarfile.RECORDSIZE or rest.strip(b"\0"):
        raise UnusableArchive(_DAMAGED)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = _at_most(stream, size)
    if len(content) != size:
        raise UnusableArchive(_DAMAGED)
    return content


def _at_most(stream: IO[bytes], size: int) -> bytes:
    """Fewer bytes only at the end."""
    try:
        return stream.read(size)
    except (OSError, EOFError, zlib.error):
        raise UnusableArchive(_DAMAGED) from None


def _manifest_bytes(member: Member) -> bytes:
    if member.size > MAX_MANIFEST_BYTES:
        raise UnusableArchive("Its manifest is too large.")
    return b"".join(member.chunks())


def _compare(manifest: Manifest, found: dict[str, Measure]) -> None:
    expected = manifest.members
    if len(expected) != len(manifest.tables) + len(manifest.platform_tables):
        raise UnusableArchive("Its manifest lists a table twice.")
    if list(found) != list(expected):
        stray = sorted({*found} ^ {*expected}) or ["the order of the tables"]
        raise UnusableArchive(f"Manifest and content differ: {', '.join(stray)}.")
    for name, entry in expected.items():
        measure = found[name]
        facts = {
            "size": measure.size == entry.bytes,
            "checksum": measure.sha256 == entry.sha256,
            "header": measure.columns == entry.columns,
            "number of rows": measure.rows == entry.rows,
        }
        differing = [fact for fact, is_right in facts.items() if not is_right]
        if differing:
            raise UnusableArchive(f"{name}: its {differing[0]} is not what the manifest says.")
