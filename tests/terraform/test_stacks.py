"""The stacks of a generated project: valid, safe in production, and applied as a whole on the emulator."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator
from tests.conftest import run_cookiecutter
from tests.deploy.deployed import Commands
from tests.terraform.invariants import ALWAYS, unprotected
from tests.terraform.roots import PROVIDER_SETTINGS, Root
from tests.terraform.test_apply import changes, left

STACKS = ("bootstrap", "platform", "service")
DOMAIN = "example.com"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/acme-platform"
IMAGE, NEXT_IMAGE = (f"{REPOSITORY}@sha256:{digit * 64}" for digit in "ab")
CLUSTER = "acme-platform-dev"
NO_BACKEND = 'terraform {\n  backend "local" {}\n}\n'


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baked once, and only read."""
    home = tmp_path_factory.mktemp("stacks")
    result = run_cookiecutter(template, home / "out", {}, home=home)
    assert result.code == 0, result.output
    values = result.project / "terraform/environments/common.tfvars"
    text = values.read_text()
    assert "github_repository = null" in text
    values.write_text(text.replace("= null", '= "acme@1234567/api@7654321"'))
    return result.project


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    """One of its own, with what is there before Terraform."""
    with AwsEmulator() as emulator:
        bring(emulator)
        yield emulator


@pytest.fixture(scope="module")
def initialised(project: Path, terraform: Terraform, emulator: AwsEmulator) -> Callable[[str], Root]:
    """A stack, initialised once, without its backend: so that it can be planned alone."""

    @functools.cache
    def root(stack: str) -> Root:
        made = Root(project / "terraform/stacks" / stack, terraform, emulator)
        (made.path / "backend_override.tf").write_text(NO_BACKEND)
        made.run("init")
        return made

    return root


def test_the_files_are_formatted(terraform: Terraform, project: Path) -> None:
    for folder in ("stacks", "environments"):
        finished = terraform.run(
            project / "terraform" / folder, "fmt", "-check", "-recursive", "-diff", "-no-color"
        )
        assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_valid(initialised: Callable[[str], Root], stack: str) -> None:
    assert "Warning" not in initialised(stack).run("validate", "-no-color")


def values(project: Path, environment: str) -> list[str]:
    folder = project / "terraform/environments"
    return [f"-var-file={folder}/common.tfvars", f"-var-file={folder}/{environment}.tfvars"]


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_an_environment_can_be_planned_and_is_safe(
    initialised: Callable[[str], Root], project: Path, environment: str
) -> None:
    plan = initialised("platform").plan(*values(project, environment))
    checks = ALWAYS | ({"unprotected": unprotected} if environment == "production" else {})
    assert {name: faults for name, check in checks.items() if (faults := check(plan))} == {}


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
RULES = (
    "production needs platform.production",
    "production needs a standby database",
    "production must outlive a zone",
)


@pytest.mark.parametrize("weakened", WEAKENED)
def test_a_production_that_could_be_lost_is_refused(
    initialised: Callable[[str], Root], project: Path, tmp_path: Path, weakened: str
) -> None:
    common, production = values(project, "production")
    text = Path(production.partition("=")[2]).read_text()
    for safe, weak in WEAKENED[weakened].items():
        assert text.count(safe) == 1
        text = text.replace(safe, weak)
    (tmp_path / "weak.tfvars").write_text(text)
    said = initialised("platform").run(
        "plan", "-no-color", "-input=false", common, f"-var-file={tmp_path}/weak.tfvars", codes=(1,)
    )
    for rule in RULES:
        assert rule in " ".join(said.replace("│", " ").split())


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

    def stays(self, stack: str, **variables: str) -> None:
        """A second plan is empty, and keeps the invariants."""
        self.run("plan", stack, **variables)
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

    def override(self, stack: str) -> None:
        """Nothing but the provider knows of the emulator; the backend finds it through the environment."""
        provider = f'provider "aws" {{\n{PROVIDER_SETTINGS}}}\n'
        (self.folder(stack) / "terrace_override.tf").write_text(provider)


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
    ours = shutil.ignore_patterns("*_override.tf", ".terraform*", "terrace.*")
    project = Path(shutil.copytree(project, tmp_path / project.name, ignore=ours))
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

        for stack in STACKS:
            deployment.override(stack)
        deployment.run("init", "bootstrap")
        deployment.apply("bootstrap")
        deployment.run("init", "bootstrap", MOVE="1")
        deployment.stays("bootstrap")
        assert f"--env dev --body arn:aws:iam::{ACCOUNT}:role/" in commands.github_variables()

        deployment.run("init", "platform")
        deployment.apply("platform")
        commands.fill_secrets()
        deployment.stays("platform")

        deployment.run("init", "service")
        deployment.apply("service", PART="tasks")
        ecs = boto3.client("ecs", **emulator.client_arguments())
        assert ecs.list_services(cluster=CLUSTER)["serviceArns"] == []
        assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 3
        assert commands.run_task("migrate") == "ran migrate apply\n"
        deployment.apply("service")
        deployment.stays("service")
        # A release: another image, and one task more at most.
        sizes.write_text(sizes.read_text().replace("max                = 2", "max                = 3", 1))
        deployment.apply("service", IMAGE=NEXT_IMAGE)
        deployment.stays("service", IMAGE=NEXT_IMAGE)
        (service,) = ecs.describe_services(cluster=CLUSTER, services=["api"])["services"]
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        assert definition["taskDefinition"]["containerDefinitions"][0]["image"] == NEXT_IMAGE
        states = boto3.client("s3", **emulator.client_arguments())
        held = states.list_objects_v2(Bucket=f"acme-platform-terraform-state-{ACCOUNT}")["Contents"]
        assert {one["Key"] for one in held} == {
            "bootstrap.tfstate", "dev/platform.tfstate", "dev/service.tfstate",
        }  # fmt: skip

        deployment.run("destroy", "service", YES="1")
        deployment.run("destroy", "platform", YES="1")
        deployment.run("init", "bootstrap", LOCAL="1")
        deployment.run("destroy", "bootstrap", YES="1", CONFIRM="acme-platform-account")
        assert left(before, emulator.holdings()) == {}
