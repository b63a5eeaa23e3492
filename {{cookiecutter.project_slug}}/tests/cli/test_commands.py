"""The commands that tests start ready-made are what an interpreter of their own would be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.commands import ROOT, given, of_the_project, run_command, run_interpreter

SHOW = """
import json, os, sys
facts = [sys.argv, os.getcwd(), dict(os.environ), sys.stdin.read(), __name__, sys.stdout.isatty()]
sys.stdout.write(json.dumps(facts))
sys.stderr.write("é")
sys.exit(7)
"""
DRAW = """
import random, secrets, uuid
from app.core.ids import new_id
print(new_id(), uuid.uuid4(), random.random(), secrets.token_hex(8))
"""
ORPHAN = """
import os, signal
from tests.commands import of_the_project
print(of_the_project()._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_sees_what_it_was_given_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_LEFT_OVER", "of a test before")
    environment = {"PATH": os.environ["PATH"], "APP_SEEN": "é"}
    arguments = ("-c", SHOW, "a b", "\udcff")
    ready = of_the_project().run(*arguments, cwd=tmp_path, environment=environment, stdin="typed")
    alone = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path, env=environment, input="typed", capture_output=True, text=True, check=False,
    )  # fmt: skip
    for finished in (ready, alone):
        # What an interpreter adds to its own environment in the locale C.
        finished.stdout = finished.stdout.replace(', "LC_CTYPE": "C.UTF-8"', "")
    assert (ready.returncode, ready.stdout, ready.stderr) == (7, alone.stdout, "é")
    assert alone.returncode == 7


@pytest.mark.parametrize("arguments", [("tenants", "list"), ("tenants", "lst")])
def test_one_says_what_a_command_of_an_interpreter_says(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ready, alone = (run(*arguments, cwd=tmp_path) for run in (run_command, run_interpreter))
    assert (ready.returncode, ready.stdout, ready.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_no_two_draw_the_same(tmp_path: Path) -> None:
    first, second = (
        of_the_project().run("-c", DRAW, cwd=tmp_path, environment=given({})).stdout.split() for _ in range(2)
    )
    assert len(first) == 4
    assert not set(first) & set(second)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_can_be_ended_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    program = "print('begun', flush=True); import time; time.sleep(60)"
    with of_the_project().start("-c", program, cwd=tmp_path, environment={}) as command:
        command.until_it_says("begun")
        command.send_signal(number)
        assert command.wait().returncode == -number
    with pytest.raises(ProcessLookupError):
        os.kill(command.pid, 0)


def test_they_end_with_the_tests_even_when_those_are_killed() -> None:
    killed = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=ROOT, env=given({}), capture_output=True, text=True, check=False
    )
    server, deadline = int(killed.stdout), time.monotonic() + 30
    while lives(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
