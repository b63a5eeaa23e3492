"""`python -m tests.aws_emulator [COMMAND…]`: an emulator for a command, or for a shell until Ctrl-C.

Without a command it prints what to export, as a shell reads it.
"""

import contextlib
import shlex
import signal
import subprocess
import sys
import threading

from tests.aws_emulator.launcher import AwsEmulator


def main(command: list[str]) -> int:
    """The exit code is the command's own."""
    with AwsEmulator() as emulator:
        if command:
            return subprocess.call(command, env=emulator.environment())
        for name, value in emulator.variables().items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        # Ignored in what a script started in the background, and then nothing but a kill would end it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("# It runs until Ctrl-C.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
