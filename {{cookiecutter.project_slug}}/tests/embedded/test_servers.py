"""The embedded servers start once, survive a crash, keep to themselves and are stopped by their own id."""

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis import Redis
from sqlalchemy import make_url

from app.embedded import (
    EmbeddedError,
    remove_postgres,
    start_postgres,
    start_valkey,
    stop_postgres,
    stop_valkey,
)
from app.embedded import binaries as binaries_module
from app.embedded import postgres as postgres_module
from app.embedded.files import private_directory, write_private
from app.embedded.ports import free_port, is_free, remembered_port
from app.embedded.processes import find, spawn, terminate
from app.embedded.stack import Stack


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "a folder, with 'quotes'" / "postgres"
    directory.parent.mkdir()
    yield directory
    remove_postgres(directory)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / 'a folder, with "quotes"' / "valkey"
    directory.parent.mkdir()
    yield directory
    stop_valkey(directory)


def postmaster(directory: Path) -> int:
    data = postgres_module._storage(directory) / "data"
    return int((data / "postmaster.pid").read_text().split()[0])


async def query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_postgres_starts_once_and_keeps_port_password_and_data(postgres: Path) -> None:
    server = start_postgres(postgres)
    assert start_postgres(postgres) == server
    await query(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS value")
    assert stop_postgres(postgres)
    assert not stop_postgres(postgres)
    again = start_postgres(postgres)
    assert again == server
    assert await query(again.url("postgres"), "SELECT value FROM kept") == 42


async def test_postgres_loses_no_committed_row_to_a_sigkill(postgres: Path) -> None:
    server = start_postgres(postgres)
    await query(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS value")
    os.kill(postmaster(postgres), signal.SIGKILL)
    server = start_postgres(postgres)
    assert await query(server.url("postgres"), "SELECT value FROM kept") == 42


async def test_postgres_wants_its_password_and_listens_on_loopback_only(postgres: Path) -> None:
    server = start_postgres(postgres, durable=False)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(server.url("postgres", password="wrong"), "SELECT 1")
    assert await query(server.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"
    assert await query(server.url("postgres"), "SHOW unix_socket_directories") == ""
    assert await query(server.url("postgres"), "SHOW password_encryption") == "scram-sha-256"


def test_the_services_logins_get_into_their_database_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else uses the server for development, so its other databases are closed."""
    for name in ("APP_DATABASE_URL", "APP_MIGRATION_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project.env").touch()
    stack = Stack(tmp_path)
    try:
        stack.start_database()
        login = make_url(stack._values["APP_DATABASE_URL"])
        assert asyncio.run(query(login.render_as_string(hide_password=False), "SELECT 1")) == 1
        for database in ("postgres", "template1"):
            elsewhere = login.set(database=database).render_as_string(hide_password=False)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
                asyncio.run(query(elsewhere, "SELECT 1"))
    finally:
        stack.reset()


async def test_postgres_is_never_root(postgres: Path) -> None:
    start_postgres(postgres, durable=False)
    assert psutil.Process(postmaster(postgres)).uids().real != 0


def test_no_password_shows_in_a_process_list_or_to_other_users(postgres: Path, valkey: Path) -> None:
    passwords = {start_postgres(postgres, durable=False).password, start_valkey(valkey).password}
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        assert not any(password in line for password in passwords), process
    for directory in (postgres, valkey):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_two_starts_at_once_make_one_cluster(postgres: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(lambda _: start_postgres(postgres, durable=False), range(4)))
    assert len(set(servers)) == 1


def test_an_interrupted_initialization_is_done_again(postgres: Path) -> None:
    private_directory(postgres)
    half = postgres_module._storage(postgres) / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    start_postgres(postgres, durable=False)


def test_another_version_is_refused_with_what_to_do(postgres: Path) -> None:
    start_postgres(postgres, durable=False)
    stop_postgres(postgres)
    version = postgres_module._storage(postgres) / "data" / "PG_VERSION"
    original = version.read_text()
    version.write_text("12\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 12"):
        start_postgres(postgres)
    version.write_text(original)


def test_a_pid_file_of_somebody_else_does_not_stop_the_start(postgres: Path) -> None:
    start_postgres(postgres, durable=False)
    pid_file = postgres_module._storage(postgres) / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    stop_postgres(postgres)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    start_postgres(postgres, durable=False)
    assert postmaster(postgres) != os.getpid()


async def test_renaming_a_project_and_starting_another_keeps_its_data(postgres: Path, tmp_path: Path) -> None:
    server = start_postgres(postgres)
    await query(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS value")
    stop_postgres(postgres)
    renamed = Path(shutil.move(postgres, tmp_path / "renamed"))
    start_postgres(postgres, durable=False)
    remove_postgres(postgres)
    try:
        assert await query(start_postgres(renamed).url("postgres"), "SELECT value FROM kept") == 42
    finally:
        remove_postgres(renamed)


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(postgres: Path) -> None:
    """A disk that is not mounted, or data that somebody cleared away."""
    start_postgres(postgres, durable=False)
    stop_postgres(postgres)
    storage = postgres_module._storage(postgres)
    elsewhere = storage.rename(storage.with_name("cluster-" + "0" * 16))
    with pytest.raises(EmbeddedError, match="is gone"):
        start_postgres(postgres)
    assert not storage.exists()
    elsewhere.rename(storage)
    start_postgres(postgres, durable=False)
    stop_postgres(postgres)
    shutil.rmtree(storage)
    remove_postgres(postgres)
    assert start_postgres(postgres, durable=False).started


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's clusters lie outside of the folder")
def test_a_copied_folder_neither_uses_nor_deletes_the_database_of_the_original(postgres: Path) -> None:
    start_postgres(postgres, durable=False)
    stop_postgres(postgres)
    copy = postgres.with_name("copy")
    shutil.copytree(postgres, copy)
    for act in (start_postgres, stop_postgres, remove_postgres):
        with pytest.raises(EmbeddedError, match="of which this is a copy"):
            act(copy)
    (copy / "location").write_text("..\n")
    with pytest.raises(EmbeddedError, match="does not name a cluster"):
        remove_postgres(copy)
    assert start_postgres(postgres, durable=False).started


def test_whatever_lies_in_a_folder_of_ours_is_for_its_owner_alone(postgres: Path, valkey: Path) -> None:
    start_postgres(postgres, durable=False)
    with Redis.from_url(start_valkey(valkey).url()) as client:
        client.set("kept", "42")
    for folder in (postgres, valkey):
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
        assert modes
        assert {path for path, mode in modes.items() if mode & 0o077} == set()


def test_a_taken_port_is_changed_and_remembered(postgres: Path) -> None:
    first = start_postgres(postgres, durable=False)
    stop_postgres(postgres)
    with socket.create_server(("127.0.0.1", first.port)):
        second = start_postgres(postgres, durable=False)
        assert second.port != first.port
        stop_postgres(postgres)
    assert start_postgres(postgres, durable=False).port == second.port


def test_stopping_what_was_never_started_does_nothing(tmp_path: Path) -> None:
    assert not stop_postgres(tmp_path / "none")
    assert not stop_valkey(tmp_path / "none")
    remove_postgres(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_without_any_postgres_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries_module, "_package_directory", lambda _name: None)
    monkeypatch.setattr(binaries_module, "_system_postgres", list)
    monkeypatch.setattr(binaries_module.shutil, "which", lambda _name: None)
    with pytest.raises(EmbeddedError, match="APP_DATABASE_URL"):
        binaries_module.postgres_bin()
    with pytest.raises(EmbeddedError, match="APP_REDIS_URL"):
        binaries_module.valkey_server()


async def test_a_postgres_of_the_system_is_used_without_the_wheel(
    postgres: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not binaries_module._system_postgres():
        pytest.skip("this machine has no PostgreSQL of its own")
    monkeypatch.setattr(binaries_module, "_package_directory", lambda _name: None)
    server = start_postgres(postgres, durable=False)
    assert re.match(r"\d+", str(await query(server.url("postgres"), "SHOW server_version")))


def test_valkey_starts_once_and_keeps_its_data(valkey: Path) -> None:
    server = start_valkey(valkey)
    assert start_valkey(valkey) == server
    with Redis.from_url(server.url()) as client:
        client.set("kept", "42")
    with Redis(port=server.port) as anonymous, pytest.raises(Exception, match=r"[Aa]uthenticat"):
        anonymous.ping()
    assert stop_valkey(valkey)
    with Redis.from_url(start_valkey(valkey).url()) as client:
        assert client.get("kept") == b"42"


def test_valkey_comes_back_after_a_sigkill(valkey: Path) -> None:
    start_valkey(valkey)
    process = find(valkey / "process.json")
    assert process is not None
    process.kill()
    process.wait(10)
    with Redis.from_url(start_valkey(valkey).url()) as client:
        assert client.ping()


def test_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    """Same pid, another start time: whoever that is, we leave them alone."""
    record = tmp_path / "record"
    write_private(record, f'{{"pid": {os.getpid()}, "started": 1.0}}')
    assert find(record) is None
    assert not terminate(record)


def test_what_we_spawn_we_can_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_DFL); time.sleep(60)"]
    pid = spawn(command, log=tmp_path / "log", record=tmp_path / "record")
    assert find(tmp_path / "record") is not None
    assert terminate(tmp_path / "record")
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ports_are_remembered_while_they_are_free(tmp_path: Path) -> None:
    memory, port = tmp_path / "port", free_port()
    assert remembered_port(memory, preferred=port) == port
    assert remembered_port(memory) == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert remembered_port(memory) != port
    memory.write_text("nonsense")
    assert remembered_port(memory, preferred=port) == port


def test_a_private_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(EmbeddedError, match="cannot be written"):
        write_private(tmp_path / "missing" / "secret", "x")


def test_the_package_is_not_needed_to_run_the_service() -> None:
    """What production imports, without psutil, which only these servers need."""
    code = "import sys; sys.modules['psutil'] = None; import app.main, app.cli; print('ok')"
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert finished.stdout == "ok\n", finished.stderr
