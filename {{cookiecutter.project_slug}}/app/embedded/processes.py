"""Processes that we start and must recognize later: a pid alone may have become somebody else's."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from app.embedded.files import append_private, write_private

KILL_AFTER_SECONDS: Final = 15.0


def spawn(
    command: Sequence[str], *, log: Path, record: Path, environment: Mapping[str, str] | None = None
) -> int:
    """Start a command in a session of its own, its output appended to `log`, its identity in `record`.

    What it writes is for its owner alone.
    """
    with append_private(log) as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            env=None if environment is None else dict(environment),
        )
    # It outlives this object by design; without a return code its destructor would warn.
    process.returncode = 0
    identity = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    write_private(record, json.dumps(identity))
    return process.pid


def find(record: Path) -> psutil.Process | None:
    """The running process that `record` identifies, or None."""
    try:
        identity = json.loads(record.read_text())
        process = psutil.Process(identity["pid"])
        same = abs(process.create_time() - identity["started"]) < 0.05
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def terminate(record: Path) -> bool:
    """End the process of `record`, gently first. False when it was not running."""
    process = find(record)
    if process is not None:
        process.send_signal(signal.SIGTERM)
        if not _ended(process, KILL_AFTER_SECONDS):
            process.kill()
            _ended(process, KILL_AFTER_SECONDS)
    record.unlink(missing_ok=True)
    return process is not None


def _ended(process: psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            # Our own child must be reaped, or it stays a zombie that looks alive.
            os.waitpid(process.pid, os.WNOHANG)
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
