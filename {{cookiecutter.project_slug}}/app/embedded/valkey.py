"""A Valkey in a folder, with a password, on the loopback interface."""

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.embedded.binaries import valkey_server
from app.embedded.errors import EmbeddedError
from app.embedded.files import locked, secret_in, write_private
from app.embedded.ports import LOOPBACK, read_port, remembered_port
from app.embedded.processes import find, spawn, terminate

START_SECONDS: Final = 10.0
PORT_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """A running server; `started` says whether this call started it."""

    port: int
    password: str
    host: str = LOOPBACK
    started: bool = field(default=False, compare=False)

    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://:{quote(self.password, safe='')}@{self.host}:{self.port}/0"


def start_valkey(directory: Path, *, persistent: bool = True) -> ValkeyServer:
    """Start the server of a folder; a running one is returned as it is. Raises EmbeddedError.

    `persistent` keeps the data over restarts, at most a second of it lost in a crash.
    """
    with locked(directory):
        password = secret_in(directory / "password")
        record = directory / "process.json"
        port = read_port(directory / "port")
        if find(record) is not None and port is not None:
            return ValkeyServer(port, password)
        for _ in range(PORT_ATTEMPTS):
            port = remembered_port(directory / "port")
            write_private(directory / "valkey.conf", _configuration(directory, port, password, persistent))
            spawn(
                [str(valkey_server()), str(directory.resolve() / "valkey.conf")],
                log=directory / "log",
                record=record,
            )
            if _answers(record, port, password):
                return ValkeyServer(port, password, started=True)
            terminate(record)
        tail = (directory / "log").read_text(errors="replace")[-2000:]
        raise EmbeddedError(f"Valkey did not start; its log {directory / 'log'} ends with:\n{tail}")


def stop_valkey(directory: Path) -> bool:
    """Stop the server of a folder. False when it was not running."""
    if not directory.exists():
        return False
    with locked(directory):
        return terminate(directory / "process.json")


def _configuration(directory: Path, port: int, password: str, persistent: bool) -> str:
    """In a file, because a password among the arguments shows in every process list."""
    folder = str(directory.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"bind {LOOPBACK}\nport {port}\nprotected-mode yes\nrequirepass {password}\n"
        f'dir "{folder}"\nsave ""\nappendonly {"yes" if persistent else "no"}\nappendfsync everysec\n'
        "daemonize no\nmaxmemory-policy noeviction\n"
    )


def _answers(record: Path, port: int, password: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and find(record) is not None:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while b"PONG" not in answer:
                    received = connection.recv(256)
                    if not received or b"WRONGPASS" in received:
                        break
                    answer += received
                if b"PONG" in answer:
                    return True
        except OSError:
            pass
        time.sleep(0.02)
    return False
