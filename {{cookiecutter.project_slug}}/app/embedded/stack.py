"""The development stack of one project folder: servers, secrets, settings file, first tenant, API process.

Everything lies under `.local/` (0700, never committed). Each step looks at what exists and adds what is
missing, so an interrupted set-up is resumed by running it again.
"""

import asyncio
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from app.auth.key_folder import generate_key_pair
from app.core.provisioning import COMMON_DATABASES, OWNER_ROLE, RUNTIME_ROLE, provision_database
from app.core.settings import Environment, Settings, load_settings
from app.embedded.errors import EmbeddedError
from app.embedded.files import locked, private_directory, secret_in, write_private
from app.embedded.ports import LOOPBACK, is_free, read_port, remembered_port
from app.embedded.postgres import remove_postgres, start_postgres, stop_postgres
from app.embedded.processes import find, spawn, terminate
from app.embedded.valkey import start_valkey, stop_valkey
from app.fleet import Fleet
from app.tenants.bootstrap import bootstrap_first_tenant
from app.tenants.creation import TenantCredentials

DATABASE: Final = "app"
PREFERRED_PORT: Final = 8000
READY_SECONDS: Final = 30.0
LOG_TAIL: Final = 3000
# A server that listens everywhere is reached here.
REACHED_AT: Final = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104  # to be recognized, not to listen on


class Stack:
    """The stack of the project in `root`. Raises EmbeddedError, whose message says what to do."""

    def __init__(self, root: Path) -> None:
        if not (root / "project.env").is_file():
            raise EmbeddedError(f"{root} holds no project.env; run this in the folder of your project.")
        self.root = root
        self.local = private_directory(root / ".local")
        self._given = {**dotenv_values(root / ".env"), **os.environ}
        self.own_database = bool(self._given.get("APP_DATABASE_URL"))
        self.own_redis = bool(self._given.get("APP_REDIS_URL"))
        if self.own_database and not self._given.get("APP_MIGRATION_DATABASE_URL"):
            raise EmbeddedError(
                "APP_DATABASE_URL is yours, so set APP_MIGRATION_DATABASE_URL too: the login that owns the"
                " database."
            )
        self._values: dict[str, str] = {}
        self._started: list[Callable[[], object]] = []

    @property
    def first_tenant_file(self) -> Path:
        return self.local / "first-tenant.json"

    @property
    def base_url(self) -> str:
        host = self._given.get("APP_HOST") or LOOPBACK
        host = REACHED_AT.get(host, host)
        port = self._given.get("APP_PORT") or read_port(self.local / "port") or PREFERRED_PORT
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def alone(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold the stack against other commands; they call `waiting` and wait."""
        return locked(self.local, waiting)

    def make_secrets(self) -> str:
        """The signing key pair, and the service's own secret."""
        environment = self._given.get("APP_ENVIRONMENT") or Environment.DEV
        if environment != Environment.DEV:
            raise EmbeddedError(
                f"APP_ENVIRONMENT is {environment}, but this is the stack for development. Take it out of"
                " .env and the environment, or start the service with `.venv/bin/python -m app serve`."
            )
        made = generate_key_pair(self.local / "keys")
        self._values = {
            "APP_ENVIRONMENT": Environment.DEV.value,
            "APP_LOG_FORMAT": "console",
            "APP_JWT_KEYS_DIR": ".local/keys",
            "APP_SECRET_KEY": secret_in(self.local / "secret-key"),
        }
        return "made" if made else "kept"

    def start_database(self) -> str:
        """PostgreSQL, its two logins and the database."""
        if self.own_database:
            return "using yours (APP_DATABASE_URL)"
        directory = self.local / "postgres"
        server = start_postgres(directory)
        if server.started:
            self._started.append(lambda: stop_postgres(directory))
        owner, runtime = secret_in(directory / "owner-password"), secret_in(directory / "runtime-password")
        asyncio.run(
            provision_database(
                server.url("postgres"),
                database=DATABASE,
                owner_password=owner,
                runtime_password=runtime,
                # Nobody else uses this server.
                close=COMMON_DATABASES,
            )
        )
        self._values["APP_DATABASE_URL"] = server.url(DATABASE, RUNTIME_ROLE, runtime)
        self._values["APP_MIGRATION_DATABASE_URL"] = server.url(DATABASE, OWNER_ROLE, owner)
        return f"port {server.port}"

    def start_redis(self) -> str:
        """Valkey."""
        if self.own_redis:
            return "using yours (APP_REDIS_URL)"
        directory = self.local / "valkey"
        server = start_valkey(directory)
        if server.started:
            self._started.append(lambda: stop_valkey(directory))
        self._values["APP_REDIS_URL"] = server.url()
        return f"port {server.port}"

    def migrate(self) -> str:
        """Write the settings, then bring every schema to head."""
        settings = self.write_settings()
        url = settings.migration_database_url
        if url is None:
            raise EmbeddedError("APP_MIGRATION_DATABASE_URL is missing: the login that owns the database.")
        # Two set-ups of one folder take turns.
        report = asyncio.run(Fleet(settings.owner_urls).apply(wait=True))
        if not report.ok:
            raise EmbeddedError(
                "Not every schema is at head; `.venv/bin/python -m app migrate apply` says why."
            )
        return f"platform at {report.platform.end}, tenants at {report.head}"

    def write_settings(self) -> Settings:
        """Write `.local/runtime.env`, which the service reads after `project.env`. Returns what it sees."""
        if not self._given.get("APP_PORT"):
            if find(self._api_record) is None:
                remembered_port(self.local / "port", preferred=PREFERRED_PORT)
            self._values["APP_PORT"] = str(read_port(self.local / "port"))
        lines = [f"{name}={value}" for name, value in self._values.items()]
        write_private(self.local / "runtime.env", "\n".join(lines) + "\n")
        self._repoint_first_tenant()
        return load_settings()

    def create_first_tenant(self) -> str:
        """The first tenant; its credentials are on disk before the database commits them."""
        created = asyncio.run(bootstrap_first_tenant(load_settings(), save=self._save))
        if created is not None:
            return f"{created.tenant}, admin {created.email}"
        if not self.first_tenant_file.exists():
            return (
                "exists, but its credentials are not in .local; `.venv/bin/python -m app tenants credentials"
                " --reset` gives its admin a new password"
            )
        return "kept"

    def start_api(self) -> str:
        """Start the API in the background and wait until it is ready."""
        if find(self._api_record) is not None and self._ready():
            return f"already running at {self.base_url}"
        terminate(self._api_record)
        port = self.write_settings().port
        if not is_free(port):
            raise EmbeddedError(f"Port {port} is taken; set APP_PORT to another, or leave it out.")
        log = private_directory(self.local / "logs") / "api.log"
        spawn([sys.executable, "-m", "app", "serve"], log=log, record=self._api_record)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and find(self._api_record) is not None:
            if self._ready():
                return self.base_url
            time.sleep(0.05)
        terminate(self._api_record)
        tail = log.read_text(errors="replace")[-LOG_TAIL:].strip()
        raise EmbeddedError(f"The API did not become ready; its log {log} ends with:\n{tail}")

    def api_is_running(self) -> bool:
        return find(self._api_record) is not None

    def stop(self) -> list[str]:
        """Stop what runs of this project, and nothing else."""
        stopped = []
        if terminate(self._api_record):
            stopped.append("API")
        if stop_valkey(self.local / "valkey"):
            stopped.append("Valkey")
        if stop_postgres(self.local / "postgres"):
            stopped.append("PostgreSQL")
        return stopped

    def stop_started(self) -> None:
        """Stop the servers that this object started."""
        while self._started:
            self._started.pop()()

    def reset(self) -> None:
        """Stop everything and delete `.local` with all data, keys and credentials."""
        self.stop()
        remove_postgres(self.local / "postgres")
        shutil.rmtree(self.local, ignore_errors=True)

    def status(self) -> dict[str, str]:
        """What runs and where."""
        return {
            "API": self.base_url if self.api_is_running() else "stopped",
            "ready": "yes" if self.api_is_running() and self._ready() else "no",
            "settings": str(self.local / "runtime.env"),
            "log": str(self.local / "logs" / "api.log"),
        }

    @property
    def _api_record(self) -> Path:
        return self.local / "api.json"

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _save(self, credentials: TenantCredentials) -> None:
        content = {
            "base_url": self.base_url,
            "tenant": credentials.tenant,
            "tenant_id": str(credentials.tenant_id),
            "email": credentials.email,
            "password": credentials.password,
            "api_key": credentials.api_key,
        }
        write_private(self.first_tenant_file, json.dumps(content, indent=2) + "\n")

    def _repoint_first_tenant(self) -> None:
        """Keep `base_url` right when the port had to change."""
        if self.first_tenant_file.exists():
            content = json.loads(self.first_tenant_file.read_text())
            if content.get("base_url") != self.base_url:
                write_private(
                    self.first_tenant_file,
                    json.dumps({**content, "base_url": self.base_url}, indent=2) + "\n",
                )
