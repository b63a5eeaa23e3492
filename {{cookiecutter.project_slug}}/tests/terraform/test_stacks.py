"""`make tf-…` applies what was planned and nothing else; each wrong call is one line that says what to do.

Terraform is a script here that writes down how it was called: what is tested comes before it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = f"registry.example.com/acme@sha256:{'a' * 64}"
COMMON = """\
slug = "acme"
region = "eu-west-1"
domain_name = "acme.test"
owner = "acme"
github_repository = null
"""
STAND_IN = """\
#!/bin/sh
{ printf '%s' "$PWD"; printf '|%s' "$@"; echo; } >> "$CALLS"
mkdir -p "$TF_DATA_DIR"
for argument; do
  case $argument in -out=*) echo a plan > "${argument#-out=}" ;; esac
done
case $1 in
  output) cat "$TOLD" ;;
  init) exit "${INIT_FAILS:-0}" ;;
  show) cat "$SHOWN" 2>/dev/null || echo '{}' ;;
  apply)
    if [ -n "$SLOW" ]; then
      trap 'trap "exit 99" INT; sleep 1; echo "the state is written"; exit 1' INT
      touch "$SLOW"
      while :; do sleep 0.1; done
    fi
    exit "${APPLY_FAILS:-0}" ;;
esac
"""
STATE = "terraform/environments/state.tfbackend"
PRODUCTION = "terraform/environments/production.tfbackend"
BACKEND = """\
bucket       = "acme-terraform-state-111111111111"
encrypt      = true
kms_key_id   = "arn:aws:kms:eu-west-1:111111111111:key/11111111-2222-3333-4444-555555555555"
region       = "eu-west-1"
use_lockfile = true
"""


@dataclass
class Project:
    """A copy of what `make` needs, and the calls that reached Terraform."""

    root: Path
    tools: Path

    def make(self, target: str, **variables: str) -> tuple[int, str]:
        finished = subprocess.run(
            ["make", "--no-print-directory", "--old-file=.venv/.installed", f"RUN={sys.executable}", target]
            + [f"{name}={value}" for name, value in variables.items()],
            cwd=self.root,
            env={
                "PATH": f"{self.tools}:/usr/bin:/bin",
                "CALLS": str(self.calls_file),
                "SHOWN": str(self.root / "shown.json"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TOLD": str(self.root / "told"),
                "APPLY_FAILS": os.environ.get("APPLY_FAILS", "0"),
                "INIT_FAILS": os.environ.get("INIT_FAILS", "0"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return finished.returncode, finished.stdout

    def refused(self, target: str, **variables: str) -> str:
        """The one line that says why. Nothing reached Terraform."""
        before = self.calls
        code, output = self.make(target, **variables)
        lines = [line for line in output.splitlines() if not line.startswith("make")]
        assert code != 0
        assert len(lines) == 1, output
        assert self.calls == before
        return lines[0].removeprefix("error: ")

    def done(self, target: str, **variables: str) -> list[str]:
        """The arguments of the last call of Terraform."""
        code, output = self.make(target, **variables)
        assert code == 0, output
        return self.calls[-1].split("|")[1:]

    @property
    def calls_file(self) -> Path:
        return self.root / "calls"

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    root, tools = tmp_path / "acme", tmp_path / "bin"
    for name in ("terraform/stacks", "terraform/environments", "tools"):
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("node_modules", "*_override.tf")
        )
    (root / "terraform/modules/one").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    made = Project(root, tools)
    made.write("terraform/modules/one/main.tf", "")
    made.write("terraform/environments/common.tfvars", COMMON)
    made.write("told", BACKEND)
    made.write(STATE, 'bucket = "acme-terraform-state"\n')
    tools.mkdir()
    (tools / "terraform").write_text(STAND_IN)
    (tools / "terraform").chmod(0o755)
    return made


@pytest.fixture
def planned(project: Project) -> Project:
    """With a plan of the platform of dev."""
    project.done("tf-init", ENV="dev", STACK="platform")
    project.done("tf-plan", ENV="dev", STACK="platform")
    return project


TARGETS = ["tf-init", "tf-plan", "tf-apply", "tf-destroy"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stack", ["", "plattform", "../service"])
def test_an_unknown_stack_is_one_line(project: Project, target: str, stack: str) -> None:
    said = project.refused(target, ENV="dev", STACK=stack)
    assert said.endswith("give STACK=bootstrap, STACK=platform or STACK=service")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("environment", ["", "prod", "../dev"])
def test_an_unknown_environment_is_one_line(project: Project, target: str, environment: str) -> None:
    said = project.refused(target, ENV=environment, STACK="platform")
    assert said.endswith("give ENV=dev, ENV=staging or ENV=production")


def test_without_terraform_it_is_named(project: Project) -> None:
    (project.tools / "terraform").unlink()
    assert project.refused("tf-init", ENV="dev", STACK="platform").startswith(
        "terraform is not installed: 1.11"
    )


def test_the_platform_waits_for_the_state_of_the_account(project: Project) -> None:
    (project.root / STATE).unlink()
    said = project.refused("tf-init", ENV="dev", STACK="platform")
    assert "state.tfbackend is missing: STACK=bootstrap comes first" in said


def test_each_stack_of_each_environment_has_a_state_of_its_own(project: Project) -> None:
    keys = set()
    for environment in ("dev", "staging", "production"):
        for stack in ("platform", "service"):
            call = project.done("tf-init", ENV=environment, STACK=stack)
            assert f"-backend-config={project.root / STATE}" in call
            keys |= {argument for argument in call if "=key=" in argument}
    assert len(keys) == 6
    own = project.root / "terraform/environments/production.tfbackend"
    own.write_text('bucket = "elsewhere"\n')
    assert f"-backend-config={own}" in project.done("tf-init", ENV="production", STACK="platform")


def test_the_state_of_the_account_begins_locally_and_moves_into_its_bucket(project: Project) -> None:
    (project.root / STATE).unlink()
    override = project.root / "terraform/stacks/bootstrap/backend_override.tf"
    assert project.done("tf-init", STACK="bootstrap") == ["init"]
    assert str(project.root / "build/terraform/account/bootstrap/terraform.tfstate") in override.read_text()
    call = project.done("tf-init", STACK="bootstrap", MOVE="1")
    assert call[:3] == ["init", "-migrate-state", "-force-copy"]
    assert "-backend-config=key=bootstrap.tfstate" in call
    assert not override.exists()
    assert (project.root / STATE).read_text().endswith(f"so commit it.\n{BACKEND}")


def test_an_account_of_one_environment_has_a_file_a_state_and_a_folder_of_its_own(project: Project) -> None:
    given = {"ENV": "production", "STACK": "bootstrap"}
    before = (project.root / STATE).read_text()
    override = project.root / "terraform/stacks/bootstrap/backend_override.tf"
    assert project.done("tf-init", **given) == ["init"]
    assert (
        str(project.root / "build/terraform/production/bootstrap/terraform.tfstate") in override.read_text()
    )
    project.done("tf-plan", **given)
    call = next(one for one in project.calls if "|plan|" in one).split("|")
    assert [one.rsplit("/", 1)[-1] for one in call if "-var-file=" in one] == ["common.tfvars"]
    assert call[-1] == '-var=environments=["production"]'
    call = project.done("tf-init", **given, MOVE="1")
    assert "-backend-config=key=production/bootstrap.tfstate" in call
    assert (project.root / PRODUCTION).read_text().endswith(BACKEND)
    assert (project.root / STATE).read_text() == before
    for stack in ("bootstrap", "platform"):
        assert f"-backend-config={project.root / PRODUCTION}" in project.done(
            "tf-init", ENV="production", STACK=stack
        )
    said = project.refused("tf-destroy", **given, CONFIRM="acme-production", YES="1")
    assert said.endswith("add CONFIRM=acme-production-account")


def test_the_first_account_is_connected_to_while_another_begins(project: Project) -> None:
    project.done("tf-init", ENV="production", STACK="bootstrap")
    call = project.done("tf-init", STACK="bootstrap")
    assert f"-backend-config={project.root / STATE}" in call
    assert not (project.root / "terraform/stacks/bootstrap/backend_override.tf").exists()


@pytest.mark.parametrize("told", ["", "\n", "Warning: no outputs found\n", BACKEND.replace("true", "false")])
def test_a_state_is_not_moved_to_where_nobody_said(project: Project, told: str) -> None:
    (project.root / STATE).unlink()
    project.done("tf-init", STACK="bootstrap")
    project.write("told", told)
    code, said = project.make("tf-init", STACK="bootstrap", MOVE="1")
    assert code != 0
    assert "run `make tf-apply STACK=bootstrap` first" in said
    assert not (project.root / STATE).exists()


def test_the_file_of_another_account_is_not_written_over(project: Project) -> None:
    before = (project.root / STATE).read_text()
    code, said = project.make("tf-init", STACK="bootstrap", MOVE="1")
    assert code != 0
    assert "state.tfbackend names another state" in said
    assert (project.root / STATE).read_text() == before


def test_a_state_that_could_not_be_moved_stays_where_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / STATE).unlink()
    project.done("tf-init", STACK="bootstrap")
    override = project.root / "terraform/stacks/bootstrap/backend_override.tf"
    before = override.read_text()
    monkeypatch.setenv("INIT_FAILS", "1")
    code, _ = project.make("tf-init", STACK="bootstrap", MOVE="1")
    assert code != 0
    assert override.read_text() == before
    assert not (project.root / STATE).exists()
    monkeypatch.setenv("INIT_FAILS", "0")
    project.done("tf-init", STACK="bootstrap", MOVE="1")
    assert (project.root / STATE).exists()


def test_a_plan_needs_an_initialised_stack(project: Project) -> None:
    said = project.refused("tf-plan", ENV="dev", STACK="platform")
    assert said.endswith("run `make tf-init STACK=platform ENV=dev` first")


def test_a_plan_lies_where_git_does_not_see_it(planned: Project) -> None:
    plan = planned.root / "build/terraform/dev/platform/plan"
    assert plan.stat().st_mode & 0o077 == 0
    assert "build/" in (ROOT / ".gitignore").read_text().splitlines()
    files = [
        argument.rsplit("/", 1)[-1] for argument in planned.calls[-1].split("|") if "-var-file=" in argument
    ]
    assert files == ["common.tfvars", "dev.tfvars"]


@pytest.mark.parametrize("image", ["", "registry.example.com/acme:1.0", "acme@sha256:abc"])
def test_the_service_is_planned_with_an_image_by_digest(project: Project, image: str) -> None:
    said = project.refused("tf-plan", ENV="dev", STACK="service", IMAGE=image)
    assert said.startswith("IMAGE must be an image by its digest")


def test_tasks_may_be_planned_before_the_services(project: Project) -> None:
    project.done("tf-init", ENV="dev", STACK="service")
    call = project.done("tf-plan", ENV="dev", STACK="service", IMAGE=IMAGE, PART="tasks")
    assert "-target=module.tasks" in call
    assert f"-var=image={IMAGE}" in call
    for stack, part in (("service", "services"), ("platform", "tasks")):
        assert "only PART=tasks" in project.refused("tf-plan", ENV="dev", STACK=stack, PART=part, IMAGE=IMAGE)


def test_exactly_the_plan_is_applied_and_once(planned: Project) -> None:
    call = planned.done("tf-apply", ENV="dev", STACK="platform")
    assert call == ["apply", "-input=false", str(planned.root / "build/terraform/dev/platform/plan")]
    assert "there is no plan of STACK=platform ENV=dev" in planned.refused(
        "tf-apply", ENV="dev", STACK="platform"
    )


def test_the_plan_of_another_environment_is_not_applied(planned: Project) -> None:
    assert "there is no plan" in planned.refused("tf-apply", ENV="staging", STACK="platform")
    assert "there is no plan" in planned.refused("tf-apply", ENV="dev", STACK="service")


@pytest.mark.parametrize(
    "changed",
    [
        "terraform/environments/dev.tfvars",
        "terraform/environments/common.tfvars",
        "terraform/stacks/platform/network.tf",
        "terraform/stacks/platform/new.tf",
        "terraform/modules/one/main.tf",
    ],
)
def test_a_plan_is_stale_when_what_it_was_made_from_has_changed(planned: Project, changed: str) -> None:
    with (planned.root / changed).open("a") as file:
        file.write("# another line\n")
    said = planned.refused("tf-apply", ENV="dev", STACK="platform")
    assert said.startswith("the plan of STACK=platform ENV=dev is stale")
    assert "`make tf-plan STACK=platform ENV=dev` again" in said


def test_a_change_elsewhere_makes_no_plan_stale(planned: Project) -> None:
    planned.write("terraform/environments/staging.tfvars", "")
    planned.write("terraform/stacks/service/services.tf", "")
    planned.done("tf-apply", ENV="dev", STACK="platform")


def test_a_plan_that_was_changed_is_not_applied(planned: Project) -> None:
    planned.write("build/terraform/dev/platform/plan", "another plan")
    assert "is not the one that was made" in planned.refused("tf-apply", ENV="dev", STACK="platform")


def changed(*resources: tuple[str, list[str]]) -> str:
    """A plan as Terraform shows it: address and actions."""
    changes = [
        {"address": address, "type": address.partition(".")[0], "change": {"actions": actions}}
        for address, actions in resources
    ]
    return json.dumps({"resource_changes": changes})


def test_a_plan_that_takes_something_from_production_is_applied_only_when_it_is_named(
    project: Project,
) -> None:
    given = {"ENV": "production", "STACK": "platform"}
    project.done("tf-init", **given)
    project.write("shown.json", changed(("aws_db_instance.this", ["delete", "create"])))
    code, said = project.make("tf-plan", **given)
    assert code == 0
    assert "It deletes or replaces aws_db_instance.this: to apply it add CONFIRM=acme-production" in said
    said = project.refused("tf-apply", **given)
    assert said.endswith(
        "deletes or replaces 1 resources of production: if that is meant, add CONFIRM=acme-production"
    )
    assert project.done("tf-apply", **given, CONFIRM="acme-production")[0] == "apply"


def test_a_plan_that_takes_something_from_the_account_is_applied_only_when_it_is_named(
    project: Project,
) -> None:
    """A changed slug replaces the bucket of all states; one that is unset on GitHub deletes roles."""
    project.done("tf-init", STACK="bootstrap")
    project.write("shown.json", changed(("aws_ecr_repository.this", ["delete", "create"])))
    code, said = project.make("tf-plan", STACK="bootstrap")
    assert code == 0
    assert "It deletes or replaces aws_ecr_repository.this: to apply it add CONFIRM=acme-account" in said
    said = project.refused("tf-apply", STACK="bootstrap", CONFIRM="acme-production")
    assert said.endswith("1 resources of the account: if that is meant, add CONFIRM=acme-account")
    assert project.done("tf-apply", STACK="bootstrap", CONFIRM="acme-account")[0] == "apply"


def test_a_release_of_production_takes_nothing_from_it(project: Project) -> None:
    given = {"ENV": "production", "STACK": "service"}
    project.done("tf-init", **given)
    released = [("aws_ecs_task_definition.this", ["create", "delete"]), ("aws_ecs_service.this", ["update"])]
    project.write("shown.json", changed(*released))
    project.done("tf-plan", **given, IMAGE=IMAGE)
    assert project.done("tf-apply", **given)[0] == "apply"


TO_ALL, TO_US = os.killpg, os.kill


@pytest.mark.parametrize(
    "endings",
    [[(TO_ALL, signal.SIGINT)], [(TO_US, signal.SIGTERM)], [(TO_US, signal.SIGTERM), (TO_US, signal.SIGTERM)],
     [(TO_ALL, signal.SIGINT), (TO_US, signal.SIGTERM)]],
    ids=["Ctrl-C", "cancelled", "cancelled twice", "Ctrl-C and cancelled"],
)  # fmt: skip
def test_it_waits_for_terraform_to_write_its_state(
    planned: Project, endings: list[tuple[Callable[[int, int], None], int]]
) -> None:
    begun = planned.root / "begun"
    with subprocess.Popen(
        [sys.executable, "-m", "tools.deploy.stacks", "apply"],
        cwd=planned.root,
        env={
            "PATH": f"{planned.tools}:/usr/bin:/bin", "CALLS": str(planned.calls_file), "SLOW": str(begun),
            "ENV": "dev", "STACK": "platform", "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.01)
        for send, number in endings:
            send(process.pid, number)
            # Two at once would be one.
            time.sleep(0.3)
        said, _ = process.communicate(timeout=30)
    assert "the state is written\n" in said
    assert said.splitlines()[-1].startswith("error: terraform apply failed")
    assert "`make tf-plan STACK=platform ENV=dev` again, which shows what is left" in said


def test_an_apply_that_failed_needs_another_plan(planned: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLY_FAILS", "1")
    code, output = planned.make("tf-apply", ENV="dev", STACK="platform")
    assert code != 0
    assert "error: terraform apply failed; its message stands above" in output
    assert "there is no plan" in planned.refused("tf-apply", ENV="dev", STACK="platform")


@pytest.mark.parametrize("confirmed", ["", "yes", "acme", "acme-staging", "acme-production "])
def test_production_is_destroyed_only_when_it_is_named(project: Project, confirmed: str) -> None:
    for stack in ("platform", "service"):
        said = project.refused("tf-destroy", ENV="production", STACK=stack, CONFIRM=confirmed, YES="1")
        assert said.endswith("add CONFIRM=acme-production")


def test_the_state_of_the_account_is_destroyed_only_when_it_is_named(project: Project) -> None:
    assert project.refused("tf-destroy", STACK="bootstrap", YES="1").endswith("add CONFIRM=acme-account")


def test_production_is_destroyed_only_when_its_protection_was_lifted(project: Project) -> None:
    given = {"ENV": "production", "STACK": "platform", "CONFIRM": "acme-production"}
    project.done("tf-init", ENV="production", STACK="platform")
    assert project.refused("tf-destroy", **given).startswith(
        "production is protected: set deletion_protection"
    )
    path = "terraform/environments/production.tfvars"
    values = (project.root / path).read_text()
    project.write(path, values + "# deletion_protection = false\n")
    assert project.refused("tf-destroy", **given).startswith("production is protected")
    project.write(path, values.replace("deletion_protection = true", "deletion_protection = false"))
    call = project.done("tf-destroy", **given)
    assert call[0] == "destroy"
    assert "-auto-approve" not in call


def test_terraform_asks_before_it_destroys_unless_told(project: Project) -> None:
    project.done("tf-init", ENV="dev", STACK="service")
    assert "-auto-approve" not in project.done("tf-destroy", ENV="dev", STACK="service")
    assert "-auto-approve" in project.done("tf-destroy", ENV="dev", STACK="service", YES="1")


def test_the_note_of_a_plan_holds_nothing_but_digests(planned: Project) -> None:
    note = json.loads((planned.root / "build/terraform/dev/platform/plan.json").read_text())
    assert note.pop("removals") == 0
    assert {len(digest) for digest in note.values()} == {64}
