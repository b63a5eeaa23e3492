"""Commands as processes of their own, started in a tenth of the time that an interpreter takes to import.

A few tests start `python -m app` itself; the others are about what the command does.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from select import select
from types import TracebackType
from typing import IO, Self

from tests.command_server import HEADER, STATUS

ROOT = Path(__file__).resolve().parents[1]
SERVER = Path(__file__).with_name("command_server.py")
# All else is what a command is given: an import must not have seen it before.
INHERITED = ("PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
DEADLINE_SECONDS = 120.0


class Command:
    """A running command. Leaving the block ends it."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        pid: int,
        report: socket.socket,
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._arguments = arguments
        self._report = report
        self._stdout = stdout
        self._stderr = stderr

    def wait(self, timeout: float = DEADLINE_SECONDS) -> "subprocess.CompletedProcess[str]":
        """What it wrote and how it ended, as `subprocess.run` has it. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._arguments, timeout)
            self.returncode = STATUS.unpack(self._report.recv(STATUS.size))[0]
        return subprocess.CompletedProcess(
            self._arguments, self.returncode, self.stdout(), _content(self._stderr)
        )

    def stdout(self) -> str:
        """What it has written so far."""
        return _content(self._stdout)

    def until_it_says(self, text: str) -> None:
        """Wait until it has written this. Raises AssertionError when it never does."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.stdout():
            assert time.monotonic() < deadline, _content(self._stderr)
            time.sleep(0.005)

    def send_signal(self, number: int) -> None:
        """Not once it has ended, when its id may be another's."""
        if self.returncode is None and not select([self._report], [], [], 0)[0]:
            os.kill(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.send_signal(signal.SIGKILL)
        self.wait()
        for file in (self._report, self._stdout, self._stderr):
            file.close()


def _content(file: IO[bytes]) -> str:
    """All of it, without moving the place at which the command writes."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


class Commands:
    """The commands of the program that stands in a folder."""

    def __init__(self, root: Path) -> None:
        self._turn = threading.Lock()
        self._server, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno())],
                cwd=root,
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, *arguments: str, cwd: Path, environment: Mapping[str, str], stdin: str = "") -> Command:
        """`python` with these arguments (`-m app …`, or `-c` and a program) and this environment."""
        request = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment)}
        message = json.dumps(request).encode()
        report, theirs = socket.socketpair()
        # Files, not pipes: a command that nobody reads from goes on.
        stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        with theirs, tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            descriptors = [file.fileno() for file in (given, stdout, stderr, theirs)]
            with self._turn:
                socket.send_fds(self._server, [HEADER.pack(len(message))], descriptors)
                self._server.sendall(message)
        pid = STATUS.unpack(report.recv(STATUS.size))[0]
        return Command(arguments, pid, report, stdout, stderr)

    def run(
        self, *arguments: str, cwd: Path, environment: Mapping[str, str], stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """`start`, and wait for the end."""
        with self.start(*arguments, cwd=cwd, environment=environment, stdin=stdin) as command:
            return command.wait()

    def close(self) -> None:
        self._server.close()
        self._process.wait()


@cache
def of_the_project() -> Commands:
    """The commands of this project; their server ends with the tests."""
    commands = Commands(ROOT)
    atexit.register(commands.close)
    return commands


def given(environment: Mapping[str, str]) -> dict[str, str]:
    """What a person at a wide terminal without colors has, and no setting but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200", **environment}


def start_command(*arguments: str, cwd: Path = ROOT, **environment: str) -> Command:
    """Start `python -m app` with these arguments and settings."""
    return of_the_project().start("-m", "app", *arguments, cwd=cwd, environment=given(environment))


def run_command(*arguments: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m app` with these arguments and settings."""
    return of_the_project().run("-m", "app", *arguments, cwd=cwd, environment=given(environment))


def start_interpreter(*arguments: str, cwd: Path = ROOT, **environment: str) -> "subprocess.Popen[str]":
    """`start_command` by an interpreter of its own, as a person starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=cwd,
        env=given(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_interpreter(
    *arguments: str, cwd: Path = ROOT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`run_command` by an interpreter of its own, as a person runs it."""
    with start_interpreter(*arguments, cwd=cwd, **environment) as process:
        try:
            stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


async def run_killed(program: str, *arguments: str, environment: Mapping[str, str], cwd: Path = ROOT) -> None:
    """Run a program that must end by SIGKILL, while the loop of the tests goes on."""
    commands = of_the_project()
    ended = await asyncio.to_thread(commands.run, "-c", program, *arguments, cwd=cwd, environment=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
