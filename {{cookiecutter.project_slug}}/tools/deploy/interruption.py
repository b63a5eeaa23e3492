"""Runs a command that is asked to end, and then waited for, when this process is told to end."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENDINGS = (signal.SIGINT, signal.SIGTERM)


def run_to_its_end(
    command: list[str], *, folder: Path, environment: dict[str, str], capture: bool = False
) -> tuple[int, str]:
    """Its exit code, and what it printed if that is captured.

    Terraform ends at the first SIGINT what it began, writes its state and gives the lock back; a
    second one makes it drop everything. Ctrl-C reaches it without us. SIGTERM, as of a workflow
    that is cancelled, reaches us alone: it is passed on as SIGINT, unless an end was asked for
    before.
    """
    told: list[int] = []
    running: list[subprocess.Popen[str]] = []

    def end(number: int, _: Any) -> None:
        told.append(number)
        if told == [signal.SIGTERM] and running:
            running[0].send_signal(signal.SIGINT)

    with (
        handling(end),
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE if capture else None, text=True
        ) as process,
    ):
        if signal.SIGTERM in told:
            process.send_signal(signal.SIGINT)
        running.append(process)
        output, _ = process.communicate()
    return process.returncode, output or ""


@contextmanager
def handling(handler: Any) -> Iterator[None]:
    """A handler and not SIG_IGN, which a child would inherit."""
    before = {number: signal.signal(number, handler) for number in ENDINGS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
