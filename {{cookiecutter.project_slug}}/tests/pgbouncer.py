"""A PgBouncer in transaction mode for tests: from the system, else from the distribution's packages.

The packages are unpacked into a folder of the user's, never installed. Where neither works, the tests that
need a PgBouncer are skipped and say why.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from app.embedded.ports import LOOPBACK, free_port

CACHE = Path(
    os.environ.get("APP_TEST_CACHE_DIR")
    or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "app-tests"
)
# PgBouncer refuses to be root, as PostgreSQL does.
SERVER_USER = "nobody"
READY_SECONDS = 10.0
MISSING_LIBRARY = re.compile(r"^\s*(\S+\.so\S*) => not found", re.MULTILINE)
# Where Debian and Ubuntu keep the library; a name per release, of which one exists.
LIBRARY_PACKAGES = {
    "libcares.so.2": ("libc-ares2", "libcares2"),
    "libevent-2.1.so.7": ("libevent-2.1-7", "libevent-2.1-7t64"),
}


@dataclass(frozen=True, slots=True)
class Program:
    """An executable and the folder of the libraries that the system lacks."""

    path: Path
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.defpath} | ({"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else {})


def find_pgbouncer() -> Program:
    """Skips the test, by name of what is missing, when there is no PgBouncer to be had."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found:
        return Program(Path(found))
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip("pgbouncer is not on PATH, and this system has no apt-get to fetch it with")
    unpacked = CACHE / "pgbouncer"
    if not (unpacked / "usr/sbin/pgbouncer").exists():
        _unpack(unpacked)
    return _complete(unpacked)


def _unpack(target: Path) -> None:
    """Beside its place and renamed, so that an interrupted download leaves nothing that looks whole."""
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        if not _fetch("pgbouncer", scratch):
            pytest.skip("pgbouncer is not on PATH, and apt-get could not download it")
        program = Program(scratch / "usr/sbin/pgbouncer")
        for library in _missing_libraries(program):
            if not any(_fetch(package, scratch) for package in LIBRARY_PACKAGES.get(library, ())):
                pytest.skip(f"pgbouncer needs {library}, which could not be downloaded")
        scratch.chmod(0o755)
        if not target.exists():
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(package: str, target: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # apt-get downloads as a user of its own when it is root.
        command = ["apt-get", "download", "-qq", package]
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0:
            return False
        archives = list(Path(folder).glob("*.deb"))
        return bool(archives) and all(
            subprocess.run(["dpkg", "-x", archive, target], capture_output=True, check=False).returncode == 0
            for archive in archives
        )


def _missing_libraries(program: Program) -> list[str]:
    listed = subprocess.run(
        ["ldd", program.path], env=program.environment, capture_output=True, text=True, check=False
    )
    return MISSING_LIBRARY.findall(listed.stdout)


def _complete(unpacked: Path) -> Program:
    libraries = next((path.parent for path in sorted(unpacked.rglob("*.so.*"))), None)
    program = Program(unpacked / "usr/sbin/pgbouncer", libraries)
    missing = _missing_libraries(program)
    if missing:
        pytest.skip(f"pgbouncer needs {', '.join(missing)}; remove {unpacked} to download again")
    return program


@contextmanager
def pgbouncer(program: Program, database_url: str, *, server_connections: int = 4) -> Iterator[str]:
    """A PgBouncer in transaction mode before one login of one database. Yields the URL that leads through."""
    target = make_url(database_url)
    # Not below the test's folder: that belongs to root, and PgBouncer must enter.
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    try:
        reachable = _reachable(program, folder)
        port = free_port()
        users, config = folder / "users", folder / "pgbouncer.ini"
        _write(users, f'"{target.username}" "{target.password}"\n')
        _write(
            config,
            f"""[databases]
{target.database} = host={target.host} port={target.port}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {server_connections}
max_client_conn = 200
logfile = {folder / "log"}
""",
        )
        _give_to_server_user(folder)
        process = subprocess.Popen(
            [str(reachable.path), "-q", str(config)],
            cwd="/",
            env=reachable.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_identity(),
        )
        try:
            _wait_for(port, process, folder / "log")
            yield target.set(host=LOOPBACK, port=port).render_as_string(hide_password=False)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(program: Program, folder: Path) -> Program:
    """A copy where the server's user can enter, for root, whose home others cannot."""
    if os.geteuid() != 0 or program.libraries is None:
        return program
    libraries = Path(shutil.copytree(program.libraries, folder / "lib", symlinks=True))
    return Program(Path(shutil.copy2(program.path, folder / "pgbouncer")), libraries)


def _write(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def _give_to_server_user(folder: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(SERVER_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    said = log.read_text(errors="replace") if log.exists() else "(nothing)"
    pytest.fail(f"pgbouncer did not start: {said}")
