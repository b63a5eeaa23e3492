"""A Citus cluster for tests, of a coordinator and two workers, as docs/citus.md says to set one up.

`APP_TEST_CITUS_BIN` names the folder of `initdb` and `pg_ctl` of a PostgreSQL that has the extension; without
it the tests of Citus are skipped.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.core.citus_provisioning import provision_cluster
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE
from app.core.settings import PlacementSettings
from app.embedded.ports import LOOPBACK, free_port

CITUS_SETTING = "APP_TEST_CITUS_BIN"
CITUS_PLACEMENT = "citus"
SERVER_USER = "nobody"
DATABASE = "tenants"
FOLDERS = ("coordinator", "worker-1", "worker-2")
COORDINATOR_RULES = f"""\
host all postgres {LOOPBACK}/32 scram-sha-256
host all {OWNER_ROLE},{RUNTIME_ROLE} {LOOPBACK}/32 scram-sha-256
host all all 0.0.0.0/0 reject
"""
WORKER_RULES = f"""\
host all postgres {LOOPBACK}/32 scram-sha-256
host {DATABASE} {OWNER_ROLE},{RUNTIME_ROLE} {LOOPBACK}/32 scram-sha-256
host {DATABASE} "/^t_[0-9a-f]{{32}}$" {LOOPBACK}/32 trust
host all all 0.0.0.0/0 reject
"""


@dataclass(frozen=True, slots=True)
class CitusCluster:
    """A running cluster that nobody has provisioned yet."""

    coordinator: int
    workers: tuple[int, ...]
    passwords: Mapping[str, str]
    storage: Path

    @property
    def nodes(self) -> tuple[int, ...]:
        return (self.coordinator, *self.workers)

    def url(self, user: str = "postgres", *, port: int | None = None, database: str = DATABASE) -> str:
        """A URL of the coordinator, or of the node at a port."""
        login = f"{user}:{self.passwords[user]}"
        return f"postgresql://{login}@{LOOPBACK}:{port or self.coordinator}/{database}"

    @property
    def placement(self) -> PlacementSettings:
        """What APP_PLACEMENTS would say of it."""
        return PlacementSettings(
            database_url=SecretStr(self.url(RUNTIME_ROLE)),
            migration_database_url=SecretStr(self.url(OWNER_ROLE)),
        )

    def rules_file(self, port: int) -> Path:
        """The pg_hba.conf of the node at a port."""
        return self.storage / FOLDERS[self.nodes.index(port)] / "pg_hba.conf"

    async def provision(self) -> None:
        """Safe to repeat."""
        await provision_cluster(
            self.url(database="postgres"),
            [self.url(port=port, database="postgres") for port in self.workers],
            database=DATABASE,
            owner_password=self.passwords[OWNER_ROLE],
            runtime_password=self.passwords[RUNTIME_ROLE],
        )


@contextmanager
def citus_cluster(binaries: Path) -> Iterator[CitusCluster]:
    """Start it, lend it, stop each server by its folder, and delete all of it."""
    passwords = {user: secrets.token_hex(16) for user in ("postgres", OWNER_ROLE, RUNTIME_ROLE)}
    storage = Path(tempfile.mkdtemp(prefix="citus-"))
    try:
        _private(storage / "password", passwords["postgres"])
        # How nodes log in to each other: as the superuser and as the owner, never as the runtime login.
        lines = [f"{LOOPBACK}:*:*:{user}:{passwords[user]}\n" for user in ("postgres", OWNER_ROLE)]
        _private(storage / "pgpass", "".join(lines))
        _give_to_server_user(storage)
        ports = tuple(free_port() for _ in range(3))
        folders = [storage / name for name in FOLDERS]
        rules = (COORDINATOR_RULES, WORKER_RULES, WORKER_RULES)
        with ThreadPoolExecutor(3) as threads:
            try:
                list(threads.map(_start, [binaries] * 3, folders, ports, rules))
                yield CitusCluster(ports[0], ports[1:], passwords, storage)
            finally:
                list(threads.map(_stop, [binaries] * 3, folders))
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _start(binaries: Path, folder: Path, port: int, rules: str) -> None:
    home = folder.parent
    _run(
        home, binaries / "initdb", "-D", folder, "-U", "postgres", "-A", "scram-sha-256",
        f"--pwfile={home / 'password'}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
    )  # fmt: skip
    parameters = {
        "port": port,
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "shared_preload_libraries": "citus",
        "max_connections": 200,
        "max_locks_per_transaction": 256,
        "max_prepared_transactions": 100,
        "max_replication_slots": 16,
        "max_wal_senders": 16,
        "max_worker_processes": 16,
        "wal_level": "logical",
        "citus.local_hostname": LOOPBACK,
        "citus.node_conninfo": "sslmode=disable",
        "citus.enable_statistics_collection": "off",
        "fsync": "off",
        "full_page_writes": "off",
    }
    with (folder / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in parameters.items())
    (folder / "pg_hba.conf").write_text(rules)
    _run(home, binaries / "pg_ctl", "start", "-D", folder, "-l", folder / "log", "-w", "-t", "60")


def _stop(binaries: Path, folder: Path) -> None:
    if (folder / "postmaster.pid").exists():
        _run(folder.parent, binaries / "pg_ctl", "stop", "-D", folder, "-m", "fast", "-w", "-t", "60")


def _run(home: Path, *command: str | Path) -> None:
    """PostgreSQL's programs refuse to be root. Output goes to files: a server would keep a pipe open."""
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGPASSFILE": str(home / "pgpass")}
    with tempfile.TemporaryFile("w+") as output:
        finished = subprocess.run(
            [str(part) for part in command],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            **identity,
        )
        output.seek(0)
        assert finished.returncode == 0, f"{command}:\n{output.read()[-2000:]}"


def _private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)
    _give_to_server_user(path)


def _give_to_server_user(path: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)
