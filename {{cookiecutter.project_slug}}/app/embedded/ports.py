"""Free ports on the loopback interface, remembered from one start to the next."""

import socket
from pathlib import Path

from app.embedded.files import write_private

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """True when nothing listens there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port the system says is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def remembered_port(memory: Path, *, preferred: int | None = None) -> int:
    """The port in `memory` while it is free, else the preferred one, else any; a change is remembered."""
    known = read_port(memory)
    for candidate in (known, preferred):
        if candidate is not None and is_free(candidate):
            break
    else:
        candidate = free_port()
    if candidate != known:
        write_private(memory, f"{candidate}\n")
    return candidate


def read_port(memory: Path) -> int | None:
    """The port in a file, or None when there is none to be read."""
    try:
        return int(memory.read_text())
    except (OSError, ValueError):
        return None
