"""A generated project worked with its own commands against an emulator, with a stand-in for Terraform.

What the commands read of Terraform are its outputs, which a test writes; what they do in AWS is real.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator

DOMAIN = "example.com"
# `make`, what a shell needs, and the emulator's tools of a test: never a person's own gh or aws.
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
TERRAFORM = """\
#!/bin/sh
[ "$*" = "output -json" ] || { echo "terraform $* was not expected" >&2; exit 1; }
cat "$OUTPUTS/$(basename "$PWD").json"
"""


@dataclass
class Deployed:
    """A project that is called `acme`, the Python with its packages, and where its commands find AWS."""

    root: Path
    python: Path
    emulator: AwsEmulator
    tools: Path

    def client(self, service: str) -> Any:
        return boto3.client(service, **self.emulator.client_arguments())

    def outputs(self, stack: str, **values: Any) -> None:
        """What Terraform tells of a stack from here on."""
        told = {name: {"value": value} for name, value in values.items()}
        (self.tools / f"{stack}.json").write_text(json.dumps(told))

    def tool(self, name: str, script: str) -> Path:
        """A command that is found before any other of its name."""
        path = self.tools / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def environment(self, **variables: str) -> dict[str, str]:
        return {
            **self.emulator.variables(), "PATH": f"{self.tools}:{SYSTEM}", "OUTPUTS": str(self.tools),
            "HOME": str(self.tools), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", **variables,
        }  # fmt: skip

    def make(self, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Variables in capitals are make's own, and reach a command as the Makefile hands them on."""
        given = [f"{name}={value}" for name, value in variables.items()]
        return self.run("make", "--no-print-directory", "--old-file=.venv/.installed", target,
                        f"RUN={self.python}", *given)  # fmt: skip

    def doctor(self, *arguments: str, **variables: str) -> tuple[int, list[dict[str, str]]]:
        """The exit code and the findings of `app doctor --aws`."""
        finished = self.run(
            str(self.python), "-m", "app", "doctor", "--aws", "--json", *arguments, **variables
        )
        assert finished.stdout.startswith("{"), finished.stderr
        return finished.returncode, json.loads(finished.stdout)["checks"]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=self.environment(**variables), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def values(self, file: str, *changes: tuple[str, str]) -> None:
        """Change a file of values; each text must be there."""
        path = self.root / "terraform/environments" / file
        text = path.read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        path.write_text(text)

    def seed_platform(self) -> dict[str, str]:
        """What the stack platform leaves: empty secrets, a database whose password RDS keeps, a cache. The
        secrets' ARNs by name."""
        secrets = self.client("secretsmanager")
        arns = {
            name: secrets.create_secret(Name=f"acme-dev/{name}")["ARN"] for name in secret_names(self.root)
        }
        database = self.client("rds").create_db_instance(
            DBInstanceIdentifier="acme-dev-database", Engine="postgres", DBInstanceClass="db.t4g.small",
            MasterUsername="master", ManageMasterUserPassword=True, AllocatedStorage=20,
        )["DBInstance"]  # fmt: skip
        self.outputs(
            "platform",
            secrets={"arns": arns, "kms_key_arn": "unused"},
            database={
                "endpoint": "db.internal", "port": 5432, "name": "app",
                "master_secret_arn": database["MasterUserSecret"]["SecretArn"],
            },
            cache={"endpoint": "cache.internal", "port": 6379},
        )  # fmt: skip
        return arns

    def secret_values(self) -> dict[str, str]:
        """Everything that the account keeps, by name; without those that are empty."""
        secrets = self.client("secretsmanager")
        names = [one["Name"] for one in secrets.list_secrets()["SecretList"]]
        kept = {}
        for name in names:
            if secrets.describe_secret(SecretId=name).get("VersionIdsToStages"):
                kept[name] = str(secrets.get_secret_value(SecretId=name)["SecretString"])
        return kept


def secret_names(root: Path) -> list[str]:
    """As the stack names them."""
    text = (root / "terraform/stacks/platform/secrets.tf").read_text()
    lines = text.split("secrets = {")[1].splitlines()[1:]
    names = [line.split("=")[0].strip() for line in lines if '= "' in line]
    assert "jwt_keys" in names, text
    return names


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/acme-{name}"


def assert_nothing_secret(finished: subprocess.CompletedProcess[str], values: dict[str, str]) -> None:
    """No value, and no line of one, is in what a command said."""
    said = finished.stdout + (finished.stderr or "")
    for name, value in values.items():
        pieces = [value, *value.replace("\\n", "\n").splitlines()]
        assert [piece for piece in pieces if len(piece) >= 8 and piece in said] == [], name


# What the image does with the secrets at its start, in an environment where nothing weak may boot.
BOOT = """\
from app.auth.key_ring import KeyRing
from app.core.settings import load_settings
print(KeyRing.from_settings(load_settings()).signing_key.kid)
"""


def boot_variables(secrets: dict[str, str], root: Path) -> dict[str, str]:
    names = ("database_url", "jwt_keys", "migration_database_url", "redis_url", "secret_key")
    given = {f"APP_{name.upper()}": secrets[name] for name in names}
    return given | {
        "APP_ENVIRONMENT": "production",
        "APP_ALLOWED_HOSTS": "api.example.com",
        "PYTHONPATH": str(root),
    }


@dataclass
class Commands:
    """The commands of a deployment, on what Terraform really applied to an environment."""

    root: Path
    python: Path
    emulator: AwsEmulator
    terraform: Mapping[str, str]
    slug: str
    environment: str = "dev"

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Raises AssertionError where it fails."""
        finished = subprocess.run(
            [str(self.python), *arguments], cwd=self.root,
            env={
                **self.emulator.environment(), **self.terraform, "ENV": self.environment,
                "PYTHONDONTWRITEBYTECODE": "1", **variables,
            },
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, f"{arguments}\n{finished.stdout}{finished.stderr}"
        return finished

    def find_the_account_ready(self) -> None:
        asked = ("--aws", "--json", "--environment", self.environment)
        told = json.loads(self.run("-m", "app", "doctor", *asked).stdout)["checks"]
        assert [finding for finding in told if finding["outcome"] != "ok"] == []

    def make_cache_user(self) -> None:
        self.run("-m", "tools.deploy.secret_values", "cache-user")

    def fill_secrets(self) -> None:
        """Every one has a value with which the service boots; again, only RDS's login is written."""
        first = self.run("-m", "tools.deploy.secret_values", "fill")
        values = self.secret_values()
        names = secret_names(self.root)
        self.run("-c", BOOT, **boot_variables({name: values[name] for name in names}, self.root))
        again = self.run("-m", "tools.deploy.secret_values", "fill")
        assert again.stderr.count(" kept") == len(names) - 1
        assert self.secret_values() == values
        for finished in (first, again):
            assert_nothing_secret(finished, values)

    def secret_values(self) -> dict[str, str]:
        """Raises ClientError for a secret without a value."""
        secrets = boto3.client("secretsmanager", **self.emulator.client_arguments())
        prefix = f"{self.slug}-{self.environment}/"
        names = [
            one["Name"] for one in secrets.list_secrets()["SecretList"] if one["Name"].startswith(prefix)
        ]
        return {
            name.removeprefix(prefix): str(secrets.get_secret_value(SecretId=name)["SecretString"])
            for name in names
        }

    def run_task(self, task: str) -> str:
        """What it said."""
        return self.run("-m", "tools.deploy.tasks", TASK=task).stdout

    def github_variables(self) -> str:
        return self.run("-m", "tools.deploy.github", ENV="").stdout
