"""A Python that has imported the command line, and becomes a command in a copy of itself for each request.

Importing is nearly all that a command costs. `tests/commands.py` starts this and speaks with it over the
socket whose number is the only argument; it ends with that socket. What it imports may keep nothing but
modules: all else is the command's own.
"""

import gc
import importlib
import json
import os
import runpy
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

HEADER = struct.Struct("!I")
STATUS = struct.Struct("!i")


def serve(listening: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the copy that is to become the command, and never elsewhere."""
    while True:
        header, descriptors, _, _ = socket.recv_fds(listening, HEADER.size, 4)
        if not header:
            raise SystemExit  # The tests have ended.
        request = json.loads(_receive(listening, HEADER.unpack(header)[0]))
        if os.fork() == 0:
            listening.close()
            _fork_and_report(*descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # One that has reported: its time counts as the tests' own.


def _receive(listening: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        parts += listening.recv(length - len(parts))
    return bytes(parts)


def _fork_and_report(stdin: int, stdout: int, stderr: int, report: int) -> None:
    """Returns in the command; its parent writes the command's id, and how it ended."""
    command = os.fork()
    if command == 0:
        os.close(report)
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return
    with suppress(OSError):  # Whoever asked has gone.
        os.write(report, STATUS.pack(command))
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        _, status = os.waitpid(command, 0)
        os.write(report, STATUS.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """`python -m app …` or `python -c …`, to its end."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    option, what, *arguments = request["arguments"]
    sys.path[0] = request["cwd"] if option == "-m" else ""
    if option == "-m":
        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *arguments]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"]))


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # As `-m` has it.
    importlib.import_module("app.cli")
    gc.freeze()  # Copies share what none of them looks at.
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        asked = serve(ours)
    become(asked)
