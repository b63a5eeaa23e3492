"""Starts the emulator of AWS in a process of its own and stops it, by its own id.

    with AwsEmulator() as emulator:
        boto3.client("sqs", **emulator.client_arguments())

The server listens on a free port of 127.0.0.1 and ends with whoever started it, even when that is killed.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
REGION = "us-east-1"
# A person's own profile and credentials never reach the emulator's clients, nor they AWS.
# Nor does a bundle of certificates: it speaks plain HTTP.
SHADOWED = {
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
}


NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class EmulatorError(Exception):
    """It did not start; the text ends with what the server said."""


def without_profile() -> dict[str, str]:
    """Our environment, without what tells an SDK who one is and where AWS is."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SHADOWED and not name.startswith("AWS_ENDPOINT_URL")
    }
    return kept | NO_FILES


class AwsEmulator:
    """One emulator. `plain` leaves the supplements out, to see what moto itself can do."""

    def __init__(self, *, plain: bool = False, log: Path | None = None) -> None:
        self._plain = plain
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers. Raises EmulatorError."""
        with self._log.open("wb") if self._log else tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.aws_emulator.server", *(["--plain"] if self._plain else [])],
                cwd=ROOT,
                env=without_profile()
                | {"PYTHONDONTWRITEBYTECODE": "1", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C at a terminal is for us; the server ends when its input does.
                start_new_session=True,
            )
            assert self._process.stdout is not None
            port = self._process.stdout.readline().strip()
            if not port:
                self.stop()
                said = Path(f"/dev/fd/{log.fileno()}") if self._log is None else self._log
                raise EmulatorError(f"the emulator of AWS did not start:\n{said.read_text()}")
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def variables(self) -> dict[str, str]:
        """What to add to an environment so that SDKs and Terraform speak to the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "emulator",
            "AWS_SECRET_ACCESS_KEY": "emulator",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **NO_FILES,
        }

    def environment(self) -> dict[str, str]:
        """Ours, with the emulator's variables and without what would lead around them."""
        return without_profile() | self.variables()

    def client_arguments(self) -> dict[str, str]:
        """For `boto3.client`, which then depends on no environment."""
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": "emulator",
            "aws_secret_access_key": "emulator",
        }

    def reset(self) -> None:
        """Forget everything that was made."""
        self._ask("/moto-api/reset", "POST")

    def holdings(self) -> dict[str, list[str]]:
        """What exists in it now: names by `service kind`."""
        held: dict[str, list[str]] = self._ask("/terrace/holdings")
        return held

    def _ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
