"""A PostgreSQL cluster in a folder: made on first start, recovered after a crash, stopped by its own id."""

import os
import pwd
import re
import secrets
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psutil

from app.embedded.binaries import ROOT_STATE, postgres_bin, postgres_major
from app.embedded.errors import EmbeddedError
from app.embedded.files import locked, private_directory, secret_in, write_private
from app.embedded.ports import LOOPBACK, free_port, remembered_port

SUPERUSER: Final = "postgres"
SERVER_USER: Final = "nobody"
START_ATTEMPTS: Final = 8
MAX_CONNECTIONS: Final = 100
CLUSTER_NAME: Final = re.compile(r"cluster-[0-9a-f]{16}")
ANSWER_SECONDS: Final = 5.0
# PostgreSQL's protocol, "Message Formats": length, then the code 1234.5679.
SSL_REQUEST: Final = struct.pack("!ihh", 8, 1234, 5679)
_LOCK_FILE_COMPLAINTS: Final = ("lock file", "shared memory block", "is in use")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. Everything but `port` stays the same from start to start.

    `started` says whether this call started it.
    """

    port: int
    password: str
    host: str = LOOPBACK
    superuser: str = SUPERUSER
    started: bool = field(default=False, compare=False)

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """A URL for a login; the superuser's by default."""
        login = f"{quote(user or self.superuser)}:{quote(password or self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database)}"


def start_postgres(
    directory: Path, *, durable: bool = True, parameters: Mapping[str, int] | None = None
) -> PostgresServer:
    """Start the cluster of a folder, making it first if need be; a running one is returned as it is.

    `durable=False` skips fsync, for tests whose data may be lost; `parameters` are further ones of the
    server's. Raises EmbeddedError.
    """
    with locked(directory):
        _refuse_unnamed_user()
        password = secret_in(directory / "superuser-password")
        storage = _storage(directory)
        port = _running_port(storage / "data")
        if port is not None and _answers(port):
            return PostgresServer(port, password)
        port = _start(directory, storage, password, _options(parameters or {}, durable=durable))
        return PostgresServer(port, password, started=True)


def stop_postgres(directory: Path) -> bool:
    """Stop the cluster, rolling back what is open. False when it was not running."""
    if not directory.exists():
        return False
    with locked(directory):
        data = _storage(directory) / "data"
        if _running_port(data) is None:
            return False
        _run([postgres_bin() / "pg_ctl", "stop", "-D", data, "-m", "fast", "-w", "-t", "60"])
        return True


def remove_postgres(directory: Path) -> None:
    """Stop the cluster and delete it with all its data."""
    if not directory.exists():
        return
    stop_postgres(directory)
    storage = _storage(directory)
    shutil.rmtree(storage, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def _options(parameters: Mapping[str, int], *, durable: bool) -> str:
    safety = "" if durable else " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    return safety + "".join(f" -c {name}={value:d}" for name, value in parameters.items())


def _start(directory: Path, storage: Path, password: str, further: str) -> int:
    binaries = postgres_bin()
    data = storage / "data"
    if not (data / "PG_VERSION").exists():
        # The port is remembered once a cluster stands: what was there and is gone is not to be replaced.
        if (directory / "port").exists():
            raise EmbeddedError(
                f"The development database in {data} is gone, or belongs to another user's set-up. Bring it"
                " back, or begin anew with `make reset`."
            )
        _make_storage(storage)
        _initialize(binaries, storage, password)
    made_by, found = int((data / "PG_VERSION").read_text()), postgres_major(binaries)
    if made_by != found:
        raise EmbeddedError(
            f"The development database was made by PostgreSQL {made_by}, but {found} is installed. Install"
            f" {made_by} again, or delete the data with `make reset`."
        )
    if storage.parent == ROOT_STATE:
        write_private(storage / "origin", f"{directory.resolve() / 'location'}\n")
    _forget_stranger(data)
    port = remembered_port(directory / "port")
    complaint = ""
    for attempt in range(START_ATTEMPTS):
        complaint = _try_start(binaries, storage, port, further)
        if not complaint:
            return port
        if "address already in use" in complaint.lower():
            port = free_port()
            write_private(directory / "port", f"{port}\n")
        elif not any(text in complaint for text in _LOCK_FILE_COMPLAINTS):
            break
        # After a SIGKILL of the postmaster its children take a moment to let go of the shared memory.
        time.sleep(min(0.25 * 2**attempt, 3))
    raise EmbeddedError(f"PostgreSQL did not start; its log {storage / 'log'} ends with:\n{complaint}")


def _try_start(binaries: Path, storage: Path, port: int, further: str) -> str:
    """Start once; the empty string, or the end of the server's log."""
    log = storage / "log"
    before = log.stat().st_size if log.exists() else 0
    options = (
        f"-p {port} -c listen_addresses={LOOPBACK} -c unix_socket_directories=''"
        f" -c max_connections={MAX_CONNECTIONS} -c password_encryption=scram-sha-256{further}"
    )
    command: list[str | Path] = [
        binaries / "pg_ctl",
        "start",
        "-D",
        storage / "data",
        "-l",
        log,
        "-w",
        "-t",
        "60",
        "-o",
        options,
    ]
    if _run(command, check=False).returncode == 0:
        return ""
    with log.open("rb") as file:
        file.seek(before)
        return file.read()[-2000:].decode(errors="replace").strip() or "(nothing)"


def _initialize(binaries: Path, storage: Path, password: str) -> None:
    """Made beside and renamed, so that an interrupted initdb leaves nothing that looks like a cluster."""
    scratch = storage / "data.new"
    shutil.rmtree(scratch, ignore_errors=True)
    password_file = storage / f"pw.{secrets.token_hex(4)}"
    write_private(password_file, password)
    try:
        _give_to_server_user(password_file)
        _run(
            [
                binaries / "initdb", "-D", scratch, "-U", SUPERUSER, "-A", "scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8",
            ]
        )  # fmt: skip
    finally:
        password_file.unlink(missing_ok=True)
    scratch.rename(storage / "data")


def _storage(directory: Path) -> Path:
    """Where the cluster lies or will lie: in `directory`, or for root where the server's user can reach it.

    The name in `location` is random and moves with the folder; nothing but `remove_postgres` deletes what it
    names. Raises EmbeddedError for a copy of a folder that is still there: the data is not copied with it.
    """
    if os.geteuid() != 0:
        return directory / "cluster"
    location = directory / "location"
    if not location.exists():
        write_private(location, f"cluster-{secrets.token_hex(8)}\n")
    name = location.read_text().strip()
    if not CLUSTER_NAME.fullmatch(name):
        raise EmbeddedError(f"{location} does not name a cluster; restore the file, or delete {directory}.")
    origin = _origin(ROOT_STATE / name)
    if origin is not None and origin.exists() and not origin.samefile(location):
        raise EmbeddedError(
            f"The development database belongs to {origin.parent}, of which this is a copy. Delete"
            f" {directory.parent} to begin with one of its own."
        )
    return ROOT_STATE / name


def _origin(storage: Path) -> Path | None:
    """The `location` file that named this cluster when it last started."""
    try:
        return Path((storage / "origin").read_text().strip())
    except OSError:
        return None


def _make_storage(storage: Path) -> None:
    if os.geteuid() == 0:
        private_directory(ROOT_STATE).chmod(0o711)
    private_directory(storage)
    _give_to_server_user(storage)


def _running_port(data: Path) -> int | None:
    """The port of the postmaster of this very folder, or None."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        # The server enters its data folder, whatever its command line looks like.
        if process.status() == psutil.STATUS_ZOMBIE or not Path(process.cwd()).samefile(data):
            return None
        return int(lines[3])
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _answers(port: int) -> bool:
    """Whether a server speaks PostgreSQL there.

    A postmaster that was killed stays in the process list, its socket open, until the kernel has taken it
    down; so ask it something: an SSLRequest is answered by one byte before any login.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(SSL_REQUEST)
            return connection.recv(1) in {b"N", b"S"}
    except OSError:
        return False


def _forget_stranger(data: Path) -> None:
    """Remove a pid file whose pid now belongs to a process that is no postmaster; PostgreSQL would wait."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        name = psutil.Process(pid).name()
    except (OSError, ValueError, IndexError, psutil.Error):
        return
    if "postgres" not in name and "postmaster" not in name:
        (data / "postmaster.pid").unlink(missing_ok=True)


def _refuse_unnamed_user() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise EmbeddedError(
            f"User id {os.geteuid()} has no entry in the password database, which PostgreSQL needs. Add one,"
            " or set APP_DATABASE_URL and APP_MIGRATION_DATABASE_URL to a server."
        ) from None


def _give_to_server_user(path: Path) -> None:
    if os.geteuid() == 0:
        server_user = pwd.getpwnam(SERVER_USER)
        os.chown(path, server_user.pw_uid, server_user.pw_gid)


def _run(command: Sequence[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs, which refuse to be root, as the server's user."""
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        server_user = pwd.getpwnam(SERVER_USER)
        identity = {"user": server_user.pw_uid, "group": server_user.pw_gid, "extra_groups": []}
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    # Output goes to files: a server that inherits our pipe would keep it open.
    finished = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={**environment, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if "start" in command else subprocess.PIPE,
        stderr=subprocess.DEVNULL if "start" in command else subprocess.STDOUT,
        text=True,
        check=False,
        **identity,
    )
    if check and finished.returncode != 0:
        raise EmbeddedError(f"{Path(command[0]).name} failed:\n{(finished.stdout or '').strip()[-2000:]}")
    return finished
