"""`make tf-init|tf-plan|tf-apply|tf-destroy`: applies exactly what was planned, and guards production.

Plans, caches and the state of an account's first steps are in build/terraform, which git does not see.
"""

import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.deploy import common
from tools.deploy.common import BUILD, TERRAFORM, Refusal, refuse
from tools.deploy.interruption import run_to_its_end

STACKS = ("bootstrap", "platform", "service")
INSTALL = "1.11 or newer: https://developer.hashicorp.com/terraform/install"
# As the module state writes it.
BACKEND = re.compile(
    r'bucket += "[a-z0-9.-]+"\nencrypt += true\nkms_key_id += "arn:[^"\s]+"\nregion += "[a-z0-9-]+"\n'
    r"use_lockfile += true\n?"
)
LOCAL_BACKEND = 'terraform {{\n  backend "local" {{\n    path = {path}\n  }}\n}}\n'


@dataclass(frozen=True)
class Stack:
    """One stack of one environment; `bootstrap` has one only where the account is that environment's own."""

    name: str
    environment: str

    @classmethod
    def chosen(cls) -> "Stack":
        """By STACK and ENV. Raises Refusal."""
        name = os.environ.get("STACK", "")
        if name not in STACKS:
            refuse(f"STACK={name or '(nothing)'}: give STACK=bootstrap, STACK=platform or STACK=service")
        return cls(name, common.environment(needed=name != "bootstrap"))

    @classmethod
    def of_account(cls, environment: str) -> "Stack":
        """`bootstrap` of the account that an environment, or none in particular, is in."""
        own = cls("bootstrap", environment)
        return own if own.backend.exists() else cls("bootstrap", "")

    @property
    def folder(self) -> Path:
        return TERRAFORM / "stacks" / self.name

    @property
    def work(self) -> Path:
        return BUILD / (self.environment or "account") / self.name

    @property
    def plan(self) -> Path:
        return self.work / "plan"

    @property
    def label(self) -> str:
        return f"STACK={self.name}" + (f" ENV={self.environment}" if self.environment else "")

    @property
    def full_name(self) -> str:
        """What a person has to type where something is lost for good."""
        parts = [self.environment, *(["account"] if self.name == "bootstrap" else [])]
        return "-".join([common.value_of("slug"), *filter(None, parts)])

    @property
    def whose(self) -> str:
        return "the account" if self.name == "bootstrap" else self.environment

    @property
    def is_guarded(self) -> bool:
        """Whether what it deletes has to be confirmed; an account's states and roles are production's too."""
        return self.environment == "production" or self.name == "bootstrap"

    @property
    def is_confirmed(self) -> bool:
        return os.environ.get("CONFIRM") == self.full_name

    @property
    def key(self) -> str:
        return f"{self.environment}/{self.name}.tfstate" if self.environment else f"{self.name}.tfstate"

    @property
    def value_files(self) -> list[Path]:
        names = ["common", *([self.environment] if self.name != "bootstrap" else [])]
        return [TERRAFORM / "environments" / f"{name}.tfvars" for name in names]

    @property
    def backend(self) -> Path:
        """An environment in an account of its own has a file of its own."""
        own = TERRAFORM / "environments" / f"{self.environment}.tfbackend"
        is_own = self.environment and (self.name == "bootstrap" or own.exists())
        return own if is_own else TERRAFORM / "environments" / "state.tfbackend"

    @property
    def override(self) -> Path:
        return self.folder / "backend_override.tf"

    def terraform(self, *arguments: str, capture: bool = False) -> str:
        """Raises Refusal when it fails; it has said why.

        What ends us ends Terraform softly: it is waited for, however long that takes.
        """
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        code, output = run_to_its_end(
            [common.tool("terraform", INSTALL), *arguments],
            folder=self.folder,
            environment={**os.environ, "TF_DATA_DIR": str(self.work / "data"), "TF_IN_AUTOMATION": "1"},
            capture=capture,
        )
        if code:
            refuse(f"terraform {arguments[0]} failed; its message stands above")
        return output

    def outputs(self) -> dict[str, Any]:
        """The values of the outputs by name; none before the first apply. Raises Refusal."""
        shown = json.loads(self.terraform("output", "-json", capture=True))
        return {name: output["value"] for name, output in shown.items()}

    def variables(self) -> list[str]:
        """Arguments with the values. Raises Refusal when the service's image is missing."""
        given = [f"-var-file={path}" for path in self.value_files]
        if self.name == "bootstrap" and self.environment:
            return [*given, f"-var=environments={json.dumps([self.environment])}"]
        if self.name != "service":
            return given
        image = os.environ.get("IMAGE", "")
        if not re.search(r"@sha256:[0-9a-f]{64}$", image):
            refuse("IMAGE must be an image by its digest: IMAGE=REPOSITORY@sha256:…")
        return [*given, f"-var=image={image}"]

    def digest(self) -> str:
        """Of everything a plan is made from, but the state, which Terraform watches itself."""
        digest = hashlib.sha256()
        folders = (self.folder, TERRAFORM / "modules")
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        for path in sorted([*found, *self.value_files]):
            if ".terraform" not in path.parts:
                digest.update(f"{path.relative_to(TERRAFORM)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()


def init(stack: Stack) -> None:
    """Connect to the state. An account's first one is local until MOVE=1 moves it into its own bucket."""
    if stack.name == "bootstrap" and os.environ.get("MOVE"):
        move(stack)
    elif stack.name == "bootstrap" and (os.environ.get("LOCAL") or not stack.backend.exists()):
        path = json.dumps(str(stack.work / "terraform.tfstate"))
        stack.override.write_text(LOCAL_BACKEND.format(path=path))
        stack.terraform("init", *(["-migrate-state", "-force-copy"] if stack.backend.exists() else []))
    elif not stack.backend.exists():
        refuse(
            "terraform/environments/state.tfbackend is missing: STACK=bootstrap comes first (docs/deploy.md)"
        )
    else:
        # Of another account, whose state is still local.
        stack.override.unlink(missing_ok=True)
        stack.terraform("init", "-reconfigure", *remote(stack, stack.backend))


def move(stack: Stack) -> None:
    """Move an account's local state into its bucket. Where that fails, everything is as it was."""
    config = stack.terraform("output", "-raw", "backend_config", capture=True)
    if not BACKEND.fullmatch(config):
        refuse(f"{stack.label} does not tell where its states go: run `make tf-apply {stack.label}` first")
    text = f"# Where this account keeps Terraform's states; no secret, so commit it.\n{config}"
    if stack.backend.exists() and stack.backend.read_text() != text:
        refuse(
            f"terraform/environments/{stack.backend.name} names another state: give ENV=… for an environment"
            " in an account of its own, or delete the file first"
        )
    moved = stack.work / "moved.tfbackend"
    moved.write_text(text)
    local = stack.override.read_text() if stack.override.exists() else None
    stack.override.unlink(missing_ok=True)
    try:
        stack.terraform("init", "-migrate-state", "-force-copy", *remote(stack, moved))
    except Refusal:
        if local is not None:
            stack.override.write_text(local)
        raise
    moved.replace(stack.backend)


def remote(stack: Stack, backend: Path) -> list[str]:
    return [f"-backend-config={backend}", f"-backend-config=key={stack.key}"]


def plan(stack: Stack) -> None:
    """Write down what would change; PART=tasks leaves the services as they are."""
    part = os.environ.get("PART", "")
    if part not in {"", "tasks"} or (part and stack.name != "service"):
        refuse(f"PART={part}: only PART=tasks, and only with STACK=service")
    arguments = [*stack.variables(), *([f"-target=module.{part}"] if part else [])]
    initialised(stack)
    digest = stack.digest()
    stack.plan.unlink(missing_ok=True)
    stack.terraform("plan", "-input=false", f"-out={stack.plan}", *arguments)
    stack.plan.chmod(0o600)
    removed = removals(stack) if stack.is_guarded else []
    noted = {"inputs": digest, "plan": file_digest(stack.plan), "removals": len(removed)}
    note(stack).write_text(json.dumps(noted))
    if removed:
        sys.stderr.write(
            f"It deletes or replaces {', '.join(removed)}: to apply it add CONFIRM={stack.full_name}\n"
        )


def removals(stack: Stack) -> list[str]:
    """Addresses of what the plan deletes or replaces, but task definitions, which every release replaces."""
    planned = json.loads(stack.terraform("show", "-json", str(stack.plan), capture=True))
    return [
        change["address"]
        for change in planned.get("resource_changes", [])
        if "delete" in change["change"]["actions"] and change["type"] != "aws_ecs_task_definition"
    ]


def apply(stack: Stack) -> None:
    """Apply the plan, once. Raises Refusal when there is none, or what it was made from has changed."""
    again = f"run `make tf-plan {stack.label}` again"
    if not stack.plan.exists() or not note(stack).exists():
        refuse(f"there is no plan of {stack.label}: run `make tf-plan {stack.label}` first")
    noted = json.loads(note(stack).read_text())
    if noted["plan"] != file_digest(stack.plan):
        refuse(f"the plan of {stack.label} is not the one that was made: {again}")
    if noted["inputs"] != stack.digest():
        refuse(f"the plan of {stack.label} is stale, files have changed since: {again}")
    if noted["removals"] and not stack.is_confirmed:
        refuse(
            f"the plan of {stack.label} deletes or replaces {noted['removals']} resources of {stack.whose}:"
            f" if that is meant, add CONFIRM={stack.full_name}"
        )
    try:
        stack.terraform("apply", "-input=false", str(stack.plan))
    except Refusal as refusal:
        refuse(f"{refusal}. A part may be applied: {again}, which shows what is left")
    finally:
        # Half of it may be done; the rest is another plan.
        stack.plan.unlink()
        note(stack).unlink()


def destroy(stack: Stack) -> None:
    """Delete everything the stack made. Terraform asks, unless YES=1."""
    if stack.is_guarded and not stack.is_confirmed:
        refuse(f"{stack.label} is destroyed for good: if that is meant, add CONFIRM={stack.full_name}")
    if stack.environment == "production" and stack.name == "platform" and is_protected(stack):
        refuse(
            "production is protected: set deletion_protection and production to false, giving_up to true"
            " in production.tfvars, and apply that first"
        )
    if stack.name == "service":
        # Nothing is made from it.
        os.environ["IMAGE"] = f"none@sha256:{'0' * 64}"
    arguments = stack.variables()
    initialised(stack)
    stack.terraform("destroy", *(["-auto-approve"] if os.environ.get("YES") else []), *arguments)


def is_protected(stack: Stack) -> bool:
    text = re.sub(r"#.*", "", stack.value_files[-1].read_text())
    return re.search(r"deletion_protection\s*=\s*false", text) is None


def initialised(stack: Stack) -> None:
    if not (stack.work / "data").is_dir():
        refuse(f"{stack.label} is not initialised: run `make tf-init {stack.label}` first")


def note(stack: Stack) -> Path:
    return stack.work / "plan.json"


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


COMMANDS = {"init": init, "plan": plan, "apply": apply, "destroy": destroy}


def main(command: str) -> None:
    COMMANDS[command](Stack.chosen())


if __name__ == "__main__":
    common.run(main)
