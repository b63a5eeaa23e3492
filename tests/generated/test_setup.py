"""Generation with everything: the set-up, its rerun, no network, and the tests of the project itself."""

import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bake, run_cookiecutter

CREDENTIALS = {"base_url", "tenant", "tenant_id", "email", "password", "api_key"}


@pytest.fixture(scope="session")
def generated(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bake]:
    """One project with the default answers, set up; stopped and removed at the end."""
    home = tmp_path_factory.mktemp("generated")
    result = run_cookiecutter(template, home / "out", {"bootstrap": "yes"}, home=home)
    yield result
    if (result.project / ".venv").exists():
        make(result.project, "reset", "YES=1")


# Of this run, which a person's own would not have.
OURS = frozenset({"MAKEFLAGS", "MAKELEVEL", "PYTHONDONTWRITEBYTECODE"})


def make(project: Path, *targets: str, check: bool = True, **environment: str) -> str:
    finished = subprocess.run(
        ["make", "--no-print-directory", *targets],
        cwd=project,
        env={**{k: v for k, v in os.environ.items() if k not in OURS}, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check:
        assert finished.returncode == 0, finished.stdout
    return finished.stdout


def call(method: str, url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    message = urllib.request.Request(url, data, {"Content-Type": "application/json", **names}, method=method)
    with urllib.request.urlopen(message, timeout=30) as answer:
        return answer.status, json.loads(answer.read() or b"null")


def credentials(project: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((project / ".local/first-tenant.json").read_text())
    return content


def state(project: Path) -> dict[str, bytes]:
    """What a rerun must not touch."""
    kept = ("keys/current.pem", "secret-key", "first-tenant.json", "postgres/superuser-password")
    return {name: (project / ".local" / name).read_bytes() for name in kept}


def test_generation_ends_with_keys_and_a_first_tenant(generated: Bake) -> None:
    assert generated.code == 0, generated.output
    assert "Ready in" in generated.output, generated.output
    assert set(credentials(generated.project)) == CREDENTIALS
    for step in ("packages", "keys and secrets", "PostgreSQL", "Valkey", "migrations", "first tenant"):
        assert step in generated.output
    assert generated.output.count(credentials(generated.project)["password"]) == 1


def test_secrets_are_private_and_ignored_by_git(generated: Bake) -> None:
    local = generated.project / ".local"
    assert stat.S_IMODE(local.stat().st_mode) == 0o700
    for name in ("first-tenant.json", "runtime.env", "keys/current.pem", "secret-key"):
        assert stat.S_IMODE((local / name).stat().st_mode) == 0o600, name
    subprocess.run(["git", "init", "-q"], cwd=generated.project, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=generated.project, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "project.env" in listed
    assert not [name for name in listed if name.startswith((".local", ".venv"))]
    shutil.rmtree(generated.project / ".git")


def test_one_can_log_in_and_use_the_key(generated: Bake) -> None:
    project = generated.project
    make(project, "up")
    first = credentials(project)
    body = {name: first[name] for name in ("tenant", "email", "password")}
    status, tokens = call("POST", f"{first['base_url']}/v1/auth/login", body)
    assert status == 200
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert call("POST", f"{first['base_url']}/v1/resources", {"name": "x"}, **bearer)[0] == 201
    key = {"X_API_Key": first["api_key"]}
    assert len(call("GET", f"{first['base_url']}/v1/resources", None, **key)[1]["items"]) == 1
    make(project, "down")


def test_the_commands_of_the_readme_work_as_they_are(generated: Bake) -> None:
    project = generated.project
    section = (project / "README.md").read_text().split("## Use it")[1]
    commands = section.split("```console\n")[1].split("```")[0]
    make(project, "up")
    shown = subprocess.run(
        ["sh", "-eu", "-c", commands], cwd=project, capture_output=True, text=True, check=True
    )
    assert '"items"' in shown.stdout
    assert '"access_token"' in shown.stdout
    make(project, "down")


def test_generating_again_keeps_data_keys_and_credentials_and_writes_the_files_anew(
    generated: Bake, template: Path
) -> None:
    before = state(generated.project)
    readme = generated.project / "README.md"
    original = readme.read_text()
    readme.write_text("changed by hand")
    again = run_cookiecutter(
        template, generated.folder, {"bootstrap": "yes"}, home=generated.folder.parent,
        options=("--overwrite-if-exists",),
    )  # fmt: skip
    assert again.code == 0, again.output
    assert "data, keys and credentials were not touched" in again.output
    assert "written anew" in again.output
    assert readme.read_text() == original
    assert state(generated.project) == before
    assert credentials(generated.project)["password"] not in again.output


def test_make_init_again_changes_nothing_that_exists(generated: Bake) -> None:
    before = state(generated.project)
    output = make(generated.project, "init")
    assert state(generated.project) == before
    assert credentials(generated.project)["password"] not in output


def test_killing_postgresql_loses_no_committed_row(generated: Bake) -> None:
    project = generated.project
    make(project, "up")
    first = credentials(project)
    key = {"X_API_Key": first["api_key"]}
    committed = [
        call("POST", f"{first['base_url']}/v1/resources", {"name": f"row {index}"}, **key)[1]["id"]
        for index in range(20)
    ]
    os.kill(postmaster(project), signal.SIGKILL)
    make(project, "up")
    first = credentials(project)
    for row in committed:
        assert call("GET", f"{first['base_url']}/v1/resources/{row}", None, **key)[0] == 200
    make(project, "down")


def postmaster(project: Path) -> int:
    """The pid of this project's PostgreSQL, wherever its data lies."""
    folder = project / ".local/postgres"
    location = folder / "location"
    data = folder / "cluster"
    if location.exists():
        data = Path("/var/lib/app-embedded") / location.read_text().strip()
    return int((data / "data/postmaster.pid").read_text().split()[0])


def test_down_stops_everything_of_this_project(generated: Bake) -> None:
    project = generated.project
    make(project, "up")
    port = int((project / ".local/postgres/port").read_text())
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert "PostgreSQL" in make(project, "down")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert "nothing was running" in make(project, "down")


def test_dev_runs_in_the_foreground_until_it_is_interrupted(generated: Bake) -> None:
    project = generated.project
    process = subprocess.Popen(
        ["make", "--no-print-directory", "dev"], cwd=project, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    ready = False
    while time.monotonic() < deadline and not ready and process.poll() is None:
        try:
            ready = call("GET", f"{credentials(project)['base_url']}/health/ready")[0] == 200
        except OSError:
            time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert ready, output
    assert "Traceback" not in output, output
    assert "nothing was running" in make(project, "down")


def test_without_a_network_the_project_stays_and_one_command_resumes(
    bake: Callable[..., Bake], tmp_path: Path
) -> None:
    """No registry answers and no cache has anything: what a first run on a train looks like."""
    nowhere = "http://127.0.0.1:9/simple"
    offline = {
        "UV_DEFAULT_INDEX": nowhere, "UV_INDEX_URL": nowhere, "UV_HTTP_RETRIES": "0",
        "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0", "UV_CACHE_DIR": str(tmp_path / "empty"),
        "PIP_CACHE_DIR": str(tmp_path / "empty-pip"),
    }  # fmt: skip
    result = bake(environment=offline, bootstrap="yes")
    assert result.code == 0, result.output
    assert "is there a network" in result.output
    assert f"cd {shlex.quote(str(result.project))} && make init" in result.output
    assert not (result.project / ".local").exists()
    make(result.project, "init")
    assert set(credentials(result.project)) == CREDENTIALS
    make(result.project, "reset", "YES=1")
    assert not (result.project / ".local").exists()


def test_without_a_network_what_the_cache_holds_is_enough(generated: Bake, bake: Callable[..., Bake]) -> None:
    """Somebody who set up a project before, on the same train."""
    assert generated.code == 0
    nowhere = "http://127.0.0.1:9"
    result = bake(
        environment={"HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "NO_PROXY": ""}, bootstrap="yes"
    )
    assert "Ready in" in result.output, result.output
    assert "trying pip" not in result.output
    make(result.project, "reset", "YES=1")


def test_the_projects_own_checks_pass(generated: Bake) -> None:
    target = os.environ.get("TERRACE_GENERATED_TARGET", "test")
    print(make(generated.project, target))
