"""schemathesis tries the whole OpenAPI document on the running service, with every check it has.

Each kind of caller is tried: nobody, a tenant's admin, its API key, an operator. A run is the same each time
and gives each caller the operations it can reach; the nightly one is random, longer, and gives each all.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from tests.conftest import TestOperator, TestTenant, command_environment

ROOT = Path(__file__).resolve().parents[2]
HOOKS = "tests.http.fuzzing_hooks"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True)
class Server:
    url: str
    log: Path


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as a container runs it, with sign-up, which is off by default."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    environment = command_environment(settings) | {
        "APP_PORT": str(port),
        "APP_SIGN_UP_ENABLED": "true",
        "APP_TRUSTED_PROXY_COUNT": "1",
        "APP_ALLOWED_HOSTS": "127.0.0.1",
        "APP_CORS_ORIGINS": "https://app.example.com",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stderr=output, stdout=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield Server(url, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("the service does not start")


def fuzz(server: Server, directory: Path, *options: str, **credentials: str) -> None:
    """Fails with what schemathesis found, and when a line of the log is no JSON object."""
    told = "".join(f"[auth.openapi.{scheme}]\n{how}\n" for scheme, how in credentials.items())
    configuration = directory / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.read_text() + told)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"]
    command += [f"{server.url}/openapi.json", "--checks", "all", "--no-color", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": HOOKS}
    run = subprocess.run(command, check=False, cwd=directory, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert re.search(r"[1-9][0-9]+ generated", run.stdout), run.stdout
    for line in server.log.read_text().splitlines():
        assert isinstance(json.loads(line), dict)
        assert "unhandled_error" not in line


# Each caller tries the edges of what the schema allows; chains of requests are an admin's and an operator's.
REPEATABLE = ("--seed", "1", "--generation-deterministic", "--max-examples", "2")
EDGES = (*REPEATABLE, "--phases", "coverage")
CHAINS = (*REPEATABLE, "--phases", "examples,coverage,stateful")
NIGHTLY = ("--max-examples", "150", "--generation-database", "none")
# Without one's own profile: its PATCH is that of a person whose id is `me`, so 422 and not the 405 expected.
OF_A_TENANT = ("--include-path-regex", "^/v1/(resources|users(?!/me$))")
OF_OPERATORS = ("--include-path-regex", "^/v1/(operators|tenants)")
PUBLIC = ("--include-path-regex", "^/(v1/auth|v1/sign-up|health|.well-known)")


def bearer(client: httpx.AsyncClient) -> str:
    return f'bearer = "{client.headers["Authorization"].removeprefix("Bearer ")}"'


def test_nobody_finds_a_fault(server: Server, tmp_path: Path) -> None:
    fuzz(server, tmp_path, *EDGES, *PUBLIC)


def test_an_admin_finds_no_fault(server: Server, tmp_path: Path, tenant: TestTenant) -> None:
    fuzz(server, tmp_path, *CHAINS, *OF_A_TENANT, accessToken=bearer(tenant.client))


def test_an_api_key_finds_no_fault(server: Server, tmp_path: Path, tenant: TestTenant) -> None:
    fuzz(server, tmp_path, *EDGES, *OF_A_TENANT, apiKey=f'api_key = "{tenant.credentials.api_key}"')


def test_an_operator_finds_no_fault(server: Server, tmp_path: Path, operator: TestOperator) -> None:
    fuzz(server, tmp_path, *CHAINS, *OF_OPERATORS, operatorToken=bearer(operator.client))


@pytest.mark.nightly
def test_nobody_finds_a_fault_in_the_long_run(server: Server, tmp_path: Path) -> None:
    fuzz(server, tmp_path, *NIGHTLY)


@pytest.mark.nightly
def test_an_admin_finds_no_fault_in_the_long_run(server: Server, tmp_path: Path, tenant: TestTenant) -> None:
    fuzz(server, tmp_path, *NIGHTLY, accessToken=bearer(tenant.client))


@pytest.mark.nightly
def test_an_api_key_finds_no_fault_in_the_long_run(
    server: Server, tmp_path: Path, tenant: TestTenant
) -> None:
    fuzz(server, tmp_path, *NIGHTLY, apiKey=f'api_key = "{tenant.credentials.api_key}"')


@pytest.mark.nightly
def test_an_operator_finds_no_fault_in_the_long_run(
    server: Server, tmp_path: Path, operator: TestOperator
) -> None:
    fuzz(server, tmp_path, *NIGHTLY, operatorToken=bearer(operator.client))
