"""The image without a builder: what the Dockerfile copies and installs is enough, and its commands work."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.core.settings import Settings
from tests.conftest import command_environment

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def image_environment(settings: Settings) -> dict[str, str]:
    """As the image sets it, whose files nobody can write."""
    return command_environment(settings) | {"PYTHONDONTWRITEBYTECODE": "1"}


def instructions(name: str) -> list[str]:
    return re.findall(rf"(?m)^\s*{name} (.+)$", DOCKERFILE.replace("\\\n", " "))


def copied() -> dict[str, str]:
    """What the build copies from the project, and where to."""
    pairs = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return {source: target for source, target in pairs if target.startswith("/srv")}


@pytest.fixture
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's /srv, which nobody may write to."""
    srv = tmp_path_factory.mktemp("image") / "srv"
    srv.mkdir()
    for source, target in copied().items():
        place = srv.parent / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    everything = [srv, *srv.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield srv
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def container(image: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The image's own command, ended as a platform ends it."""
    command = [*json.loads(instructions("ENTRYPOINT")[0]), *json.loads(instructions("CMD")[-1])]
    assert command[0] == "python"
    process = subprocess.Popen([sys.executable, *command[1:]], cwd=image, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def probe(image: Path, environment: dict[str, str]) -> int:
    command = json.loads(re.search(r"HEALTHCHECK .*CMD (\[.*\])", DOCKERFILE)[1])  # type: ignore[index]
    return subprocess.run(
        [sys.executable, *command[1:]], cwd=image, env=environment, timeout=30, check=False
    ).returncode


def wait_until_healthy(image: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 30
    while probe(image, environment) != 0:
        assert time.monotonic() < deadline, "it did not become healthy"
        time.sleep(0.2)


def test_the_image_serves_from_files_it_cannot_write_and_its_health_check_sees_it(
    image: Path, settings: Settings
) -> None:
    port, files = free_port(), set(image.rglob("*"))
    environment = image_environment(settings) | {"APP_PORT": str(port)}
    assert probe(image, environment) == 1, "nothing serves yet"
    with container(image, environment) as process:
        wait_until_healthy(image, environment)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            assert json.load(answer)["status"] == "ok"
        process.terminate()
        assert process.wait(30) in {0, -15}
    assert probe(image, environment) == 1, "it has ended"
    assert set(image.rglob("*")) == files


@pytest.mark.nightly
def test_a_connection_outlives_the_silence_a_load_balancer_allows(image: Path, settings: Settings) -> None:
    """It keeps one for 60 seconds; a request sent into a connection that the service closes is a 502."""
    environment = image_environment(settings) | {"APP_PORT": str(free_port())}
    with container(image, environment):
        wait_until_healthy(image, environment)
        connection = HTTPConnection("127.0.0.1", int(environment["APP_PORT"]), timeout=5)
        for silence in (62, 0):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            assert connection.sock is not None, "it closed the connection itself"
            time.sleep(silence)
        connection.close()


def test_the_health_check_fails_while_the_process_hangs(image: Path, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = image_environment(settings) | {"APP_PORT": str(silent.getsockname()[1])}
        assert probe(image, environment) == 1


def test_the_image_finds_its_revisions_and_the_database(image: Path, settings: Settings) -> None:
    """A plan, because a status would also judge what other tests left in the database."""
    finished = subprocess.run(
        [sys.executable, "-m", "app", "migrate", "plan", "--json"],
        cwd=image,
        env=image_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["platform"] is None, "the database is at the head of the image"


# Refuses what the lock of the image does not name, as if it were not installed.
ONLY_THE_LOCK = """
import importlib.metadata, json, sys

locked = set(json.loads(sys.argv[1]))
owners = importlib.metadata.packages_distributions()


class Absent:
    def find_spec(self, name, path=None, target=None):
        owned_by = {owner.lower().replace("_", "-").replace(".", "-") for owner in owners.get(name, [])}
        if owned_by and not owned_by & locked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in [name for name in sys.modules if name in owners]:
    del sys.modules[name]
sys.meta_path.insert(0, Absent())
"""


def run_with_the_lock_only(statement: str) -> subprocess.CompletedProcess[str]:
    lock = (ROOT / "requirements/base.txt").read_text()
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock)]
    assert len(names) > 20
    return subprocess.run(
        [sys.executable, "-c", ONLY_THE_LOCK + statement, json.dumps(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_installs_all_that_its_commands_import() -> None:
    """Packages of development are in the environment of the tests, and not in the image."""
    assert "No module named 'hypothesis'" in run_with_the_lock_only("import hypothesis").stderr
    finished = run_with_the_lock_only("import app.cli, app.main, app.health.probe")
    assert finished.returncode == 0, finished.stderr


def test_nothing_but_what_is_copied_reaches_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == {*copied(), "requirements/base.txt"}


def test_the_image_is_not_root_and_keeps_no_secret() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert "/usr/sbin/nologin" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"(?im)^(?:arg|env)\b.*(?:secret|password|token)", DOCKERFILE)
