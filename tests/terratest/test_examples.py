"""The tests in Go, which apply examples too: they compile, vet, and pass where Go is new enough."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import AwsEmulator

FOLDER = Path(__file__).parent
# Of the network, not of what was fetched: a wrong checksum is a failure.
UNREACHABLE = re.compile(r"dial tcp|no such host|connection refused|i/o timeout|proxyconnect")


@pytest.fixture(scope="session")
def go() -> str:
    """Its own version: none is fetched in its place."""
    needed = re.search(r"^go (\d+)\.(\d+)", (FOLDER / "go.mod").read_text(), re.MULTILINE)
    assert needed is not None
    binary = shutil.which("go")
    told = (
        subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
        if binary
        else ""
    )
    version = re.search(r"go(\d+)\.(\d+)", told)
    if (
        binary is None
        or version is None
        or (int(version[1]), int(version[2])) < (int(needed[1]), int(needed[2]))
    ):
        pytest.skip(f"Go {needed[1]}.{needed[2]} or newer is not installed: https://go.dev/dl")
    fetched = call(binary, "mod", "download", environment=without_emulator())
    if fetched.returncode and UNREACHABLE.search(fetched.stdout):
        pytest.skip("the Go modules cannot be fetched here")
    assert fetched.returncode == 0, fetched.stdout
    return binary


def call(go: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [go, *arguments],
        cwd=FOLDER, env=environment | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def run(go: str, *arguments: str, environment: dict[str, str]) -> str:
    """AssertionError with what it said, unless it went well; an emulator that is not reached is a failure."""
    finished = call(go, *arguments, environment=environment)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def without_emulator() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}


def test_it_compiles_and_vet_finds_nothing(go: str) -> None:
    run(go, "vet", "./...", environment=without_emulator())
    run(go, "test", "-run", "none", "./...", environment=without_emulator())


def test_without_an_emulator_it_is_skipped_by_name(go: str) -> None:
    said = run(go, "test", "-v", "./...", environment=without_emulator())
    assert "--- SKIP: TestExamples" in said
    assert "AWS_ENDPOINT_URL is not set" in said


def test_it_names_its_version_and_no_registry() -> None:
    module = (FOLDER / "go.mod").read_text()
    assert "github.com/gruntwork-io/terratest v1.0.1" in module
    for name in ("go.mod", "go.sum", "examples_test.go"):
        assert "proxy" not in (FOLDER / name).read_text()


@pytest.mark.apply
def test_the_examples_pass_it_on_the_emulator(go: str, terraform: Terraform, tmp_path: Path) -> None:
    with AwsEmulator(log=tmp_path / "emulator.log") as emulator:
        environment = emulator.environment() | dict(terraform.variables)
        said = run(go, "test", "-v", "-count=1", "./...", environment=environment)
    assert "--- PASS: TestExamples/registry" in said
