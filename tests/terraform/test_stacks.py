"""The stacks of a generated project: valid, safe in production, and applied as a whole on the emulator."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator
from tests.deploy.deployed import Commands
from tests.terraform.conftest import Ahead
from tests.terraform.invariants import ALWAYS, unprotected
from tests.terraform.plans import listed, resources, statements
from tests.terraform.roots import PROVIDER_SETTINGS
from tests.terraform.stacks import IMAGE, PLANS, SLUG, STACKS, WEAKENED, bring_zone
from tests.terraform.test_apply import changes, left

NEXT_IMAGE = f"{IMAGE.partition(':')[0]}:{'b' * 64}"
CLUSTER = f"{SLUG}-dev"


def test_the_files_are_formatted(terraform: Terraform, project: Path) -> None:
    for folder in ("stacks", "environments"):
        finished = terraform.run(
            project / "terraform" / folder, "fmt", "-check", "-recursive", "-diff", "-no-color"
        )
        assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_is_valid(ahead: Ahead, stack: str) -> None:
    assert "Warning" not in ahead.result("stack", stack)


@pytest.mark.parametrize("planned", PLANS)
def test_a_stack_can_be_planned_and_is_safe(ahead: Ahead, planned: str) -> None:
    plan = ahead.result("planned", planned)
    checks = ALWAYS | ({"unprotected": unprotected} if planned.endswith("production") else {})
    assert {name: faults for name, check in checks.items() if (faults := check(plan))} == {}


# AWS knows no resource for them: a statement that names one allows nothing.
ANYWHERE_ONLY = {
    "ecr:GetAuthorizationToken",
    "ecs:DeregisterTaskDefinition",
    "ecs:DescribeTaskDefinition",
    "ecs:RegisterTaskDefinition",
}


@pytest.mark.parametrize("planned", ["bootstrap"])
def test_roles_of_workflows_are_confined_where_aws_can_and_nowhere_else(ahead: Ahead, planned: str) -> None:
    on: dict[bool, set[str]] = {True: set(), False: set()}
    for address, _, statement in statements(ahead.result("planned", planned)):
        if "github_oidc" in address and "Resource" in statement and statement["Effect"] == "Allow":
            on["*" in listed(statement["Resource"])] |= set(listed(statement["Action"]))
    assert "iam:PassRole" in on[False]
    assert on[False] & ANYWHERE_ONLY == set()
    assert on[True] - ANYWHERE_ONLY == set()


@pytest.mark.parametrize("planned", ["service production"])
def test_a_service_that_nothing_answers_for_is_told_to_whom_the_platform_tells(
    ahead: Ahead, planned: str
) -> None:
    alarms = [
        one.values for one in resources(ahead.result("planned", planned), "aws_cloudwatch_metric_alarm")
    ]
    (told,) = [one for one in alarms if one["metric_name"] == "HealthyHostCount"]
    assert told["threshold"] == 1
    assert (told["comparison_operator"], told["treat_missing_data"]) == ("LessThanThreshold", "breaching")
    assert [one.rpartition(":")[2] for one in told["alarm_actions"]] == [f"{SLUG}-production-alarms"]


@pytest.mark.parametrize("planned", [plan for plan in PLANS if plan.startswith("platform")])
def test_the_alarm_of_storage_is_below_what_the_database_grows_at(ahead: Ahead, planned: str) -> None:
    plan = ahead.result("planned", planned)
    (database,) = resources(plan, "aws_db_instance")
    (alarm,) = [
        one for one in resources(plan, "aws_cloudwatch_metric_alarm")
        if one.values["metric_name"] == "FreeStorageSpace"
    ]  # fmt: skip
    assert 0 < alarm.values["threshold"] < database.values["allocated_storage"] * 2**30 / 10


RULES = {
    "service": ("production must outlive a task and a zone",),
    "platform": (
        "production needs platform.production",
        "production needs a standby database",
        "production must outlive a zone",
    ),
}


@pytest.mark.parametrize("weakened", WEAKENED)
def test_a_production_that_could_be_lost_is_refused(ahead: Ahead, weakened: str) -> None:
    said = " ".join(ahead.result("weakened", weakened).replace("│", " ").split())
    for rule in ("slug must be 3 to 21", *RULES[weakened.partition(" ")[0]]):
        assert rule in said


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
