"""The emulator starts on a port of its own, ends with whoever started it, and tells what it holds."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

from tests.aws_emulator.launcher import ACCOUNT, ROOT, AwsEmulator, EmulatorError


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def ends(url: str) -> bool:
    deadline = time.monotonic() + 10
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not answers(url)


def test_two_emulators_run_beside_each_other_and_share_nothing() -> None:
    with AwsEmulator() as one, AwsEmulator() as other:
        assert one.url != other.url
        boto3.client("sqs", **one.client_arguments()).create_queue(QueueName="orders")
        assert "orders" in one.holdings()["sqs queues"]
        assert "sqs queues" not in other.holdings()
    assert not answers(one.url)
    assert not answers(other.url)


def test_a_reset_forgets_what_was_made() -> None:
    with AwsEmulator() as emulator:
        before = emulator.holdings()
        boto3.client("sqs", **emulator.client_arguments()).create_queue(QueueName="orders")
        boto3.client("iam", **emulator.client_arguments()).create_group(GroupName="people")
        assert set(emulator.holdings()) - set(before) == {"sqs queues", "iam groups"}
        emulator.reset()
        assert set(emulator.holdings()) == set(before)


def test_what_waits_for_its_deletion_is_not_held() -> None:
    with AwsEmulator() as emulator:
        keys = boto3.client("kms", **emulator.client_arguments())
        key = keys.create_key()["KeyMetadata"]["KeyId"]
        assert emulator.holdings()["kms keys"] == [key]
        keys.schedule_key_deletion(KeyId=key)
        assert "kms keys" not in emulator.holdings()


def test_it_ends_when_its_starter_is_killed() -> None:
    program = (
        "import time\n"
        "from tests.aws_emulator.launcher import AwsEmulator\n"
        "emulator = AwsEmulator()\n"
        "emulator.start()\n"
        "print(emulator.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert answers(url)
        starter.kill()
    assert ends(url)


def test_a_server_that_cannot_start_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "moto.py").write_text("raise ImportError('no emulator here')")
    with pytest.raises(EmulatorError, match="no emulator here"):
        AwsEmulator().start()


def test_a_persons_own_profile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    with AwsEmulator() as emulator:
        environment = emulator.environment()
        assert "real" not in environment.values()
        assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL_SQS"} & set(environment)
        assert environment["AWS_ENDPOINT_URL"] == emulator.url


def test_a_command_runs_against_it() -> None:
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    finished = subprocess.run(
        [sys.executable, "-m", "tests.aws_emulator", sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.strip() == ACCOUNT


def test_without_a_command_it_prints_what_to_export() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.aws_emulator"],
        cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        while not (line := process.stdout.readline()).startswith("#"):
            lines.append(line.strip())
        url = next(line for line in lines if line.startswith("export AWS_ENDPOINT_URL=")).partition("=")[2]
        assert answers(url)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert not answers(url)
