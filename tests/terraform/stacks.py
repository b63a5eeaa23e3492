"""Stacks of a generated project, each planned alone: values, what weakens them, and what Terraform says."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import AwsEmulator
from tests.terraform.roots import Root

STACKS = ("bootstrap", "platform", "service")
ENVIRONMENTS = ("dev", "staging", "production")
DOMAIN = "example.com"
NO_BACKEND = 'terraform {\n  backend "local" {}\n}\n'
# Each condition of each rule once: two runs, since Terraform tells all rules that are broken at once.
WEAKENED = {
    "one": {
        "deletion_protection = true": "deletion_protection = false",
        "multi_az              = true": "multi_az = false",
        'nat                 = "per_zone"': 'nat = "single"',
    },
    "another": {
        "production          = true": "production = false",
        "backup_retention_days = 30": "backup_retention_days = 13",
        "replicas                = 2": "replicas = 0",
    },
}


class Stacks:
    """Each stack is initialised once, without its backend, by the first thread that asks for it."""

    def __init__(
        self, project: Path, terraform: Terraform, emulator: AwsEmulator, provider: dict[str, str]
    ) -> None:
        self._project = project
        self._make = partial(Root, terraform=terraform, emulator=emulator, provider=provider)
        self._roots: dict[str, Root] = {}
        self._locks = {stack: threading.Lock() for stack in STACKS}

    def work(self) -> dict[tuple[str, str], Callable[[], Any]]:
        """By kind and name, what `Ahead` can do."""
        validate = {("stack", stack): partial(self._validate, stack) for stack in STACKS}
        plan = {("environment", name): partial(self._plan, name) for name in ENVIRONMENTS}
        refuse = {("weakened", name): partial(self._refused, name) for name in WEAKENED}
        return {**validate, **plan, **refuse}

    def _root(self, stack: str) -> Root:
        with self._locks[stack]:
            if stack not in self._roots:
                made = self._make(self._project / "terraform/stacks" / stack)
                (made.path / "backend_override.tf").write_text(NO_BACKEND)
                made.run("init")
                self._roots[stack] = made
            return self._roots[stack]

    def _validate(self, stack: str) -> str:
        return self._root(stack).run("validate", "-no-color")

    def _plan(self, environment: str) -> dict[str, Any]:
        values = (f"-var-file={self._values(name)}" for name in ("common", environment))
        return self._root("platform").plan("-lock=false", *values, file=f"{environment}.plan")

    def _refused(self, name: str) -> str:
        """What is said of a production that is weakened."""
        text = self._values("production").read_text()
        for safe, weak in WEAKENED[name].items():
            assert text.count(safe) == 1
            text = text.replace(safe, weak)
        weakened = self._project.parent / f"{name}.tfvars"
        weakened.write_text(text)
        values = (f"-var-file={path}" for path in (self._values("common"), weakened))
        return self._root("platform").run(
            "plan", "-lock=false", "-no-color", "-input=false", *values, codes=(1,)
        )

    def _values(self, name: str) -> Path:
        return self._project / f"terraform/environments/{name}.tfvars"


def bring_zone(emulator: AwsEmulator) -> None:
    boto3.client("route53", **emulator.client_arguments()).create_hosted_zone(
        Name=DOMAIN, CallerReference="test"
    )


def bring(emulator: AwsEmulator) -> None:
    """What is there before Terraform: the domain's zone and the cache's user."""
    bring_zone(emulator)
    boto3.client("elasticache", **emulator.client_arguments()).create_user(
        UserId="acme-platform-dev-app", UserName="app", Engine="valkey", AccessString="on ~* +@all",
        AuthenticationMode={"Type": "password", "Passwords": ["kD93mfQpz1xT-kD93mfQpz1xT"]},
    )  # fmt: skip
