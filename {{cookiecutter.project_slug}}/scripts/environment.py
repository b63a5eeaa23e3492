"""Makes a virtual environment from hash-pinned requirements, with uv where it can and pip where it must.

Standard library only: it runs before anything is installed. Running it again installs what changed, or
nothing; an environment whose installation was cut short is made anew.
"""

from __future__ import annotations  # an older Python must reach the message that says so

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MIN_PYTHON = (3, 11)
# uv itself, pinned: it installs the rest ten times as fast as pip, and `make lock` needs it.
UV_REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "uv.txt"
STAMP = ".installed"
# What an activated environment or an odd Python set-up would push into ours.
FOREIGN = (
    "VIRTUAL_ENV",
    "UV_PROJECT_ENVIRONMENT",
    "UV_SYSTEM_PYTHON",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
)
REASON_LINES = 4


class StepFailed(Exception):
    """A command failed; the text is the part of its output that says why."""


class Environment:
    """A virtual environment in `directory`, holding `requirements` and uv."""

    def __init__(self, directory: Path, requirements: list[Path]) -> None:
        self.directory = directory
        self.requirements = [*requirements, UV_REQUIREMENTS]
        self.python = directory / "bin" / "python"
        self.stamp = directory / STAMP

    def is_current(self) -> bool:
        """True when exactly these requirements were installed and the interpreter still runs."""
        return self.stamp.is_file() and self.stamp.read_text() == self.digest() and self.works()

    def works(self) -> bool:
        """False when there is none, or the Python it was made from is gone."""
        try:
            return subprocess.run([self.python, "-c", ""], capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def digest(self) -> str:
        return hashlib.sha256(b"".join(path.read_bytes() for path in self.requirements)).hexdigest()

    def install(self) -> None:
        """Make or complete the environment. Raises StepFailed."""
        if not (self.stamp.is_file() and self.works()):
            shutil.rmtree(self.directory, ignore_errors=True)
        self.stamp.unlink(missing_ok=True)
        try:
            self._install_with_uv(self._uv())
        except StepFailed as failed:
            self._install_with_pip(failed)
        self.stamp.write_text(self.digest())

    def _uv(self) -> str:
        """The uv to use: one that is there, else one that pip installs into this environment."""
        uv = find_uv() or str(self.directory / "bin" / "uv")
        if not os.access(uv, os.X_OK):
            self._make_with_pip()
            run("uv", [*self._pip_install(), "-r", UV_REQUIREMENTS])
        elif not self.directory.exists():
            run("virtual environment", [uv, "venv", "--quiet", "--python", sys.executable, self.directory])
        return uv

    def _install_with_uv(self, uv: str) -> None:
        command = [uv, "pip", "install", "--quiet", "--require-hashes", *self._files()]
        command += ["--python", str(self.python)]
        try:
            # The hashes decide what is installed, so the cache is as good as the network, and faster.
            run("packages", [*command, "--offline"], quiet=True)
        except StepFailed:
            run("packages", command)

    def _install_with_pip(self, uv_failed: StepFailed) -> None:
        """uv knows nothing of pip's configuration: where that names a company's mirror, pip still works."""
        try:
            self._make_with_pip()
            run("packages, with pip", [*self._pip_install(), *self._files()])
        except StepFailed:
            raise uv_failed from None

    def _make_with_pip(self) -> None:
        if (self.directory / "bin" / "pip").exists():
            return
        if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
            raise StepFailed(
                "this Python cannot make virtual environments: install its venv module"
                " (Debian and Ubuntu: apt install python3-venv), or uv"
            )
        run("virtual environment", [sys.executable, "-m", "venv", "--clear", self.directory])

    def _pip_install(self) -> list[str]:
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--retries", "2"]
        return [*pip, "install", "--quiet", "--require-hashes"]

    def _files(self) -> list[str]:
        return [argument for path in self.requirements for argument in ("-r", str(path))]


def find_uv() -> str | None:
    """uv on PATH, or beside the Python that runs this."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)


def run(label: str, command: Sequence[str | Path], *, quiet: bool = False) -> None:
    """Run a command and say how long it took. Raises StepFailed with the reason; `quiet` fails unsaid."""
    started = time.monotonic()
    live = sys.stderr.isatty()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not is_foreign(name)},
        )
        try:
            while process.poll() is None:
                if live:
                    say(f"\r  {label:<24}{time.monotonic() - started:5.0f} s ")
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(0)
        reason = reason_in(output.read())
    if process.returncode == 0 or not quiet:
        outcome = "" if process.returncode == 0 else "  failed"
        line = f"  {label:<24}{time.monotonic() - started:5.1f} s{outcome}\n"
        say(f"\r{line}" if live else line)
    if process.returncode != 0:
        raise StepFailed(reason)


def is_foreign(name: str) -> bool:
    return name.startswith("PYTHON") or name in FOREIGN


def reason_in(output: str) -> str:
    """The lines of a failed command's output that say why: those that name an error, else the last ones."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in ("error", "cause", "errno"))]
    return "\n".join((telling or lines)[:REASON_LINES])


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, default=Path(".venv"))
    parser.add_argument("requirements", type=Path, nargs="*", default=[Path("requirements/dev.txt")])
    arguments = parser.parse_args()
    if sys.version_info < MIN_PYTHON:
        say(f"error: Python 3.11 or newer is needed; this is {sys.version.split()[0]}.\n")
        return 1
    environment = Environment(arguments.directory, arguments.requirements)
    if environment.is_current():
        return 0
    try:
        environment.install()
    except StepFailed as failed:
        indented = str(failed).replace("\n", "\n  ")
        say(f"error: {arguments.directory} is not ready:\n  {indented}\n")
        return 1
    except OSError as failed:
        say(f"error: {arguments.directory} is not ready: {failed}\n")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; run it again to resume\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
