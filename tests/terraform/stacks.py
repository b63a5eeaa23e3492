"""Stacks of a generated project, each planned alone: values, what weakens them, and what Terraform says."""

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator
from tests.terraform.roots import Root

STACKS = ("bootstrap", "platform", "service")
# Stack and environment; the account's own stack has none.
PLANS = ("bootstrap", "platform dev", "platform staging", "platform production", "service production")
DOMAIN = "example.com"
SLUG = "acme-platform"
# Of few syllables, and many letters.
LONG_SLUG = "a-b-c-d-e-f-g-h-i-j-k-l"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{SLUG}@sha256:{'a' * 64}"
NO_BACKEND = 'terraform {\n  backend "local" {}\n}\n'
# Each condition of each rule once: two runs, since Terraform tells all rules that are broken at once.
WEAKENED = {
    "service": {"min                = 3": "min = 1"},
    "platform": {
        "deletion_protection = true": "deletion_protection = false",
        "multi_az              = true": "multi_az = false",
        'nat                 = "per_zone"': 'nat = "single"',
    },
    "platform again": {
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
        plan = {("planned", name): partial(self._plan, *name.split()) for name in PLANS}
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

    def _plan(self, stack: str, environment: str = "") -> dict[str, Any]:
        names = ("common", environment) if environment else ("common",)
        values = (f"-var-file={self._values(name)}" for name in names)
        return self._root(stack).plan("-lock=false", *self._image(stack), *values, file=f"{environment}.plan")

    def _refused(self, name: str) -> str:
        """What is said of a production that is weakened, and has too long a name."""
        stack = name.partition(" ")[0]
        text = self._values("production").read_text()
        for safe, weak in WEAKENED[name].items():
            assert text.count(safe) == 1
            text = text.replace(safe, weak)
        weakened = self._project.parent / f"{name}.tfvars"
        weakened.write_text(text)
        values = [f"-var-file={path}" for path in (self._values("common"), weakened)]
        values += [f"-var=slug={LONG_SLUG}", *self._image(stack)]
        return self._root(stack).run("plan", "-lock=false", "-no-color", "-input=false", *values, codes=(1,))

    @staticmethod
    def _image(stack: str) -> list[str]:
        return [f"-var=image={IMAGE}"] if stack == "service" else []

    def _values(self, name: str) -> Path:
        return self._project / f"terraform/environments/{name}.tfvars"


def bring_zone(emulator: AwsEmulator) -> None:
    boto3.client("route53", **emulator.client_arguments()).create_hosted_zone(
        Name=DOMAIN, CallerReference="test"
    )


def bring(emulator: AwsEmulator) -> None:
    """What is there before Terraform (the domain's zone and the cache's user), and for the stack service what
    the other two leave: images, and the state of a production's platform."""
    bring_zone(emulator)
    boto3.client("elasticache", **emulator.client_arguments()).create_user(
        UserId=f"{SLUG}-dev-app", UserName="app", Engine="valkey", AccessString="on ~* +@all",
        AuthenticationMode={"Type": "password", "Passwords": ["kD93mfQpz1xT-kD93mfQpz1xT"]},
    )  # fmt: skip
    boto3.client("ecr", **emulator.client_arguments()).create_repository(repositoryName=SLUG)
    states, bucket = boto3.client("s3", **emulator.client_arguments()), f"{SLUG}-terraform-state-{ACCOUNT}"
    states.create_bucket(Bucket=bucket)
    states.put_object(Bucket=bucket, Key="production/platform.tfstate", Body=platform_state())


def platform_state() -> str:
    """A state without resources, whose outputs are as the stack platform's."""
    name, arn = f"{SLUG}-production", f"us-east-1:{ACCOUNT}"
    key = f"arn:aws:kms:{arn}:key/11111111-2222-3333-4444-555555555555"
    secrets = (
        "database_url", "first_admin_password", "jwt_keys", "migration_database_url", "redis_url",
        "secret_key", "superuser_database_url",
    )  # fmt: skip
    outputs = {
        "alarms_topic_arn": f"arn:aws:sns:{arn}:{name}-alarms",
        "cache": {"endpoint": "cache.internal", "port": 6379, "security_group_id": "sg-1", "user_id": "app"},
        "cluster": {"arn": f"arn:aws:ecs:{arn}:cluster/{name}", "kms_key_arn": key, "name": name},
        "database": {
            "endpoint": "db.internal", "port": 5432, "name": "app", "security_group_id": "sg-2",
            "master_username": "master", "master_secret_arn": f"arn:aws:secretsmanager:{arn}:secret:rds",
        },
        "host": f"api.{DOMAIN}",
        "load_balancer": {
            "arn_suffix": f"app/{name}/1234567890123456",
            "listener_arn": f"arn:aws:elasticloadbalancing:{arn}:listener/app/{name}/1234567890123456/1234",
            "security_group_id": "sg-3",
        },
        "network": {"private_subnet_ids": ["subnet-1", "subnet-2"], "vpc_id": "vpc-1"},
        "queues": {"jobs": {"arn": f"arn:aws:sqs:{arn}:{name}-jobs", "url": "https://sqs.internal/jobs"}},
        "secrets": {
            "arns": {one: f"arn:aws:secretsmanager:{arn}:secret:{name}/{one}-AbCdEf" for one in secrets},
            "kms_key_arn": key,
        },
    }  # fmt: skip
    return json.dumps({
        "version": 4, "terraform_version": "1.11.0", "serial": 1, "resources": [],
        "lineage": "00000000-0000-4000-8000-000000000000",
        "outputs": {name: {"value": value, "type": type_of(value)} for name, value in outputs.items()},
    })  # fmt: skip


def type_of(value: Any) -> Any:
    """As a state writes it down."""
    if isinstance(value, dict):
        return ["object", {name: type_of(inner) for name, inner in value.items()}]
    if isinstance(value, list):
        return ["tuple", [type_of(inner) for inner in value]]
    return "string" if isinstance(value, str) else "number"
