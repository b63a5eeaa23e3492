"""The stacks of a generated project: valid, safe in production, and applied as a whole on the emulator."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator
from tests.conftest import Bake
from tests.terraform.deployed import Commands
from tests.terraform.invariants import ALWAYS, unprotected
from tests.terraform.roots import PROVIDER_SETTINGS, Root
from tests.terraform.test_apply import changes, left

STACKS = ("bootstrap", "platform", "service")
DOMAIN = "example.com"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/acme-platform@sha256:{'a' * 64}"
NO_BACKEND = 'terraform {\n  backend "local" {}\n}\n'
SKIPPED = """\
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
"""
BACKEND = f'terraform {{\n  backend "s3" {{\n{SKIPPED}  }}\n}}\n'
REMOTE_STATE = f"""\
data "terraform_remote_state" "platform" {{
  config = merge(local.states, {{
    key = "${{var.environment}}/platform.tfstate"
{SKIPPED}  }})
}}
"""


@pytest.fixture
def project(bake: Callable[..., Bake]) -> Path:
    result = bake()
    assert result.code == 0, result.output
    values = result.project / "terraform/environments/common.tfvars"
    text = values.read_text()
    assert "github_repository = null" in text
    values.write_text(text.replace("= null", '= "acme@1234567/api@7654321"'))
    return result.project


def test_the_files_are_formatted(terraform: Terraform, project: Path) -> None:
    for folder in ("stacks", "environments"):
        finished = terraform.run(
            project / "terraform" / folder, "fmt", "-check", "-recursive", "-diff", "-no-color"
        )
        assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_valid(terraform: Terraform, project: Path, stack: str) -> None:
    folder = project / "terraform/stacks" / stack
    finished = terraform.initialise(folder, "-backend=false")
    assert finished.returncode == 0, finished.stdout
    finished = terraform.run(folder, "validate", "-no-color")
    assert finished.returncode == 0, finished.stdout
    assert "Warning" not in finished.stdout, finished.stdout


@pytest.fixture
def emulator() -> AwsEmulator:
    """One of its own; the caller starts it."""
    return AwsEmulator()


def platform(project: Path, terraform: Terraform, emulator: AwsEmulator) -> Root:
    """The stack without a backend, so that it can be planned alone."""
    root = Root(project / "terraform/stacks/platform", terraform, emulator)
    (root.path / "backend_override.tf").write_text(NO_BACKEND)
    root.run("init")
    return root


def values(project: Path, environment: str) -> list[str]:
    folder = project / "terraform/environments"
    return [f"-var-file={folder}/common.tfvars", f"-var-file={folder}/{environment}.tfvars"]


def test_every_environment_can_be_planned_and_production_is_safe(
    terraform: Terraform, project: Path, emulator: AwsEmulator
) -> None:
    with emulator:
        bring(emulator)
        root = platform(project, terraform, emulator)
        for environment in ("dev", "staging", "production"):
            plan = root.plan(*values(project, environment))
            assert {name: check(plan) for name, check in ALWAYS.items() if check(plan)} == {}, environment
        assert unprotected(plan) == []


WEAKENED = {
    "deletion_protection = true": ("deletion_protection = false", "production needs platform.production"),
    "production          = true": ("production = false", "production needs platform.production"),
    "multi_az              = true": ("multi_az = false", "production needs a standby database"),
    "backup_retention_days = 30": ("backup_retention_days = 13", "production needs a standby database"),
    'nat                 = "per_zone"': ('nat = "single"', "production must outlive a zone"),
    "replicas                = 2": ("replicas = 0", "production must outlive a zone"),
}


def test_a_production_that_could_be_lost_is_refused(
    terraform: Terraform, project: Path, aws_emulator: AwsEmulator
) -> None:
    root = platform(project, terraform, aws_emulator)
    path = project / "terraform/environments/production.tfvars"
    text = path.read_text()
    for safe, (weak, message) in WEAKENED.items():
        assert text.count(safe) == 1
        path.write_text(text.replace(safe, weak))
        said = root.run("plan", "-no-color", "-input=false", *values(project, "production"), codes=(1,))
        assert message in " ".join(said.replace("│", " ").split()), weak


@dataclass
class Deployment:
    """A project on the emulator, worked with its own commands."""

    project: Path
    terraform: Terraform
    emulator: AwsEmulator

    def run(self, command: str, stack: str, **variables: str) -> str:
        environment = {} if stack == "bootstrap" else {"ENV": "dev", "IMAGE": IMAGE}
        finished = subprocess.run(
            [sys.executable, "-m", "tools.deploy.stacks", command],
            cwd=self.project,
            env={
                **self.emulator.environment(), **self.terraform.variables, **environment, **variables,
                "PYTHONDONTWRITEBYTECODE": "1", "STACK": stack, "TF_VAR_force_destroy": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        assert finished.returncode == 0, f"{command} {stack}\n{finished.stdout}"
        return finished.stdout

    def apply(self, stack: str, **variables: str) -> None:
        self.run("plan", stack, **variables)
        self.run("apply", stack)

    def stays(self, stack: str) -> None:
        """A second plan is empty, and keeps the invariants."""
        self.run("plan", stack)
        work = self.project / "build/terraform" / ("account" if stack == "bootstrap" else "dev") / stack
        reader = Terraform(
            self.terraform.binary, {**self.terraform.variables, "TF_DATA_DIR": str(work / "data")}
        )
        shown = reader.run(
            self.folder(stack), "show", "-json", str(work / "plan"), environment=self.emulator.environment()
        )
        assert shown.returncode == 0, shown.stdout
        plan = json.loads(shown.stdout)
        assert changes(plan) == {}
        # The account's own stack is told to delete what it holds, for this test.
        assert {name: check(plan) for name, check in ALWAYS.items() if check(plan)} == {}

    def folder(self, stack: str) -> Path:
        return self.project / "terraform/stacks" / stack

    def override(self, stack: str, *texts: str) -> None:
        provider = f'provider "aws" {{\n{PROVIDER_SETTINGS}}}\n'
        (self.folder(stack) / "terrace_override.tf").write_text("\n".join((provider, *texts)))


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


@pytest.mark.apply
def test_the_complete_set_is_applied_stays_the_same_and_leaves_nothing(
    terraform: Terraform, project: Path, project_python: Path, tmp_path: Path
) -> None:
    log = Path(os.environ.get("TERRACE_EMULATOR_LOG", tmp_path / "emulator.log"))
    with AwsEmulator(log=log) as emulator:
        bring_zone(emulator)
        commands = Commands(project, project_python, emulator, terraform.variables, "acme-platform")
        commands.find_the_account_ready()
        commands.make_cache_user()
        # No task ever runs on the emulator, so no service is ever steady.
        sizes = project / "terraform/environments/dev.tfvars"
        sizes.write_text(
            sizes.read_text().replace("service = {", "service = {\n  wait_for_steady_state = false", 1)
        )
        before = emulator.holdings()
        deployment = Deployment(project, terraform, emulator)

        deployment.override("bootstrap")
        deployment.run("init", "bootstrap")
        deployment.apply("bootstrap")
        deployment.override("bootstrap", BACKEND)
        deployment.run("init", "bootstrap", MOVE="1")
        deployment.stays("bootstrap")
        assert f"--env dev --body arn:aws:iam::{ACCOUNT}:role/" in commands.github_variables()

        deployment.override("platform", BACKEND)
        deployment.run("init", "platform")
        deployment.apply("platform")
        commands.fill_secrets()
        deployment.stays("platform")

        deployment.override("service", BACKEND, REMOTE_STATE)
        deployment.run("init", "service")
        deployment.apply("service", PART="tasks")
        ecs = boto3.client("ecs", **emulator.client_arguments())
        assert ecs.list_services(cluster="acme-platform-dev")["serviceArns"] == []
        assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 3
        assert commands.run_task("migrate") == "ran migrate apply\n"
        deployment.apply("service")
        deployment.stays("service")
        states = boto3.client("s3", **emulator.client_arguments())
        held = states.list_objects_v2(Bucket=f"acme-platform-terraform-state-{ACCOUNT}")["Contents"]
        assert {one["Key"] for one in held} == {
            "bootstrap.tfstate", "dev/platform.tfstate", "dev/service.tfstate",
        }  # fmt: skip

        deployment.run("destroy", "service", YES="1")
        deployment.run("destroy", "platform", YES="1")
        deployment.override("bootstrap")
        deployment.run("init", "bootstrap", LOCAL="1")
        deployment.run("destroy", "bootstrap", YES="1", CONFIRM="acme-platform-account")
        assert left(before, emulator.holdings()) == {}
