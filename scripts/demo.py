"""`make demo`: generates a project as a user would, starts it and shows that it works. Standard library.

Everything lies in build/demo; a rerun keeps the project's data and credentials.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parents[1]
DEMO = TEMPLATE / "build" / "demo"
PROJECT = DEMO / "acme-platform"
STOPPING = {"down": ("down",), "reset": ("reset", "YES=1")}


def main(command: str) -> int:
    """Exit code 0 when everything that is shown was seen."""
    if command in STOPPING:
        return stop(*STOPPING[command])
    started = time.monotonic()
    generate()
    run("make", "--no-print-directory", "up")
    show()
    say(f"\nDone in {time.monotonic() - started:.0f} s. `make demo-down` stops it.")
    return 0


def generate() -> None:
    """The same run that a user makes, except that what cookiecutter leaves behind stays in our folder."""
    DEMO.mkdir(parents=True, exist_ok=True)
    configuration = DEMO / "cookiecutter.yaml"
    configuration.write_text(
        json.dumps({"cookiecutters_dir": str(DEMO / "templates"), "replay_dir": str(DEMO / "replay")})
    )
    options = ["--no-input", "--overwrite-if-exists", "--output-dir", str(DEMO)]
    with tempfile.TemporaryDirectory(dir=DEMO) as scratch:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cookiecutter",
                *options,
                "--config-file",
                str(configuration),
                str(TEMPLATE),
            ],
            check=True,
            cwd=TEMPLATE,
            env={**os.environ, "TMPDIR": scratch},
        )


def show() -> None:
    """Log in, create, read back, and be a stranger."""
    first = json.loads((PROJECT / ".local" / "first-tenant.json").read_text())
    second = second_tenant()
    base_url = first["base_url"]
    token = log_in(base_url, first)
    say(f"\nLogged in as {first['email']} of {first['tenant']}.")
    resource = {"name": "thermostat", "data": {"room": "kitchen", "target": 20.5}}
    _, created = request("POST", f"{base_url}/v1/resources", token, resource, expect=201)
    path = f"{base_url}/v1/resources/{created['id']}"
    _, read = request("GET", path, token, expect=200)
    if read != created:
        raise SystemExit(f"error: read {read} instead of {created}")
    say(f"Created and read back resource {created['id']}.")
    status, _ = request("GET", path, log_in(base_url, second), expect=404)
    say(f"For {second['tenant']}, the second tenant, the same id is {status}.")
    say(
        f"""
  API       {base_url}
  Docs      {base_url}/docs
  Tenant    {first["tenant"]}
  Email     {first["email"]}
  Password  {first["password"]}
  API key   {first["api_key"]}

  curl -s {base_url}/v1/resources -H 'X-API-Key: {first["api_key"]}'"""
    )


def second_tenant() -> dict[str, Any]:
    """Globex, made on the first run; its credentials are kept beside those of the first tenant."""
    memory = PROJECT / ".local" / "second-tenant.json"
    if not memory.exists():
        answer = run(
            ".venv/bin/python", "-m", "app", "tenants", "create", "--name", "Globex", "--slug", "globex",
            "--admin-email", "admin@globex.example.com", "--json", capture=True,
        )  # fmt: skip
        descriptor = os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(answer)
    credentials: dict[str, Any] = json.loads(memory.read_text())
    return credentials


def log_in(base_url: str, credentials: dict[str, Any]) -> str:
    body = {name: credentials[name] for name in ("tenant", "email", "password")}
    _, tokens = request("POST", f"{base_url}/v1/auth/login", None, body, expect=200)
    return str(tokens["access_token"])


def request(
    method: str, url: str, token: str | None, body: Any = None, *, expect: int
) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an answer; anything but the expected status ends the demo."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(message, timeout=30) as answer:
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        status, content = refusal.code, refusal.read()
    if status != expect:
        raise SystemExit(f"error: {method} {url} answered {status} instead of {expect}: {content.decode()}")
    return status, json.loads(content)


def stop(*target: str) -> int:
    if not (PROJECT / ".venv").exists():
        say("nothing was started")
        return 0
    run("make", "--no-print-directory", *target)
    return 0


def run(*command: str, capture: bool = False) -> str:
    """Run a command in the project; its failure ends the demo with what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "MAKEFLAGS"}
    }
    finished = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise SystemExit(f"error: `{' '.join(command)}` failed in {PROJECT}")
    return finished.stdout or ""


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
