"""Copies of the Terraform half to work on: nothing is ever written into the tree."""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import AwsEmulator
from tests.conftest import TEMPLATE, template_files

FOLDER = Path("terraform")
# What a test puts in place of every secret input: it must turn up nowhere.
CANARY = "Canary-9f2c-Never-Written-Down"
# An account number that is looked up keeps references to security groups stable.
PROVIDER_SETTINGS = """\
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = false
  s3_use_path_style           = true
  max_retries                 = 2
"""
TAGS = '  default_tags {\n    tags = { changed = "yes" }\n  }\n'
# A line of its own, or one of an object's fields.
WEAKENINGS = re.compile(
    r"^ *(deletion_protection|production) *= *false *(#.*)?$|"
    r"^ *(apply_immediately|force_delete|force_destroy|skip_final_snapshot) *= *true *(#.*)?$|"
    r",? *recovery_window\w* *= *0\b",
    re.MULTILINE,
)
# Commands that need the provider's schemas only.
OFFLINE = {"show", "validate"}
OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)


def modules() -> list[str]:
    return sorted({path.parts[2] for path in files() if path.parts[1] == "modules" and path.suffix == ".tf"})


def examples() -> list[str]:
    return sorted({path.parts[2] for path in files() if path.parts[1] == "examples" and path.suffix == ".tf"})


def files() -> list[Path]:
    return [path for path in template_files() if path.parts[0] == "terraform"]


def copy_tree(target: Path) -> Path:
    """The modules and examples as they stand, without what tools left there."""
    for path in files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TEMPLATE / path, target / path)
    return target / FOLDER


def as_in_production(example: Path) -> Path:
    """A copy of an example, without what lets it be destroyed again: the modules' defaults are left."""
    modules_beside, folder = example.parents[1] / "modules", example.parents[2] / "production"
    copied = Path(shutil.copytree(example, folder / "examples" / example.name))
    with contextlib.suppress(FileExistsError):
        (folder / "modules").symlink_to(modules_beside)
    for path in copied.glob("*.tf"):
        path.write_text(WEAKENINGS.sub("", path.read_text()))
    return copied


class Root:
    """A root in a copy, whose provider speaks to the emulator and whose secret inputs hold the canary."""

    def __init__(
        self,
        path: Path,
        terraform: Terraform,
        emulator: AwsEmulator,
        provider: Mapping[str, str] | None = None,
    ) -> None:
        """`provider` reaches one that runs, for what talks to no AWS; else each command starts its own."""
        self.path = path
        self._offline = {**emulator.environment(), **(provider or {})}
        self.terraform = terraform
        self.environment = emulator.environment()
        self._aliases = [body.get("alias") for name, body in blocks(path, "provider") if name == "aws"]
        self._set_providers(PROVIDER_SETTINGS)
        secrets = {name: CANARY for name, body in blocks(path, "variable") if body.get("ephemeral") is True}
        (path / "terrace.auto.tfvars.json").write_text(json.dumps(secrets))

    def _set_providers(self, settings: str) -> None:
        override = [
            'provider "aws" {\n' + (f'  alias = "{alias}"\n' if alias else "") + settings + "}\n"
            for alias in self._aliases or [None]
        ]
        (self.path / "terrace_override.tf").write_text("\n".join(override))

    def tag_everything(self) -> None:
        """A change of everything that can have tags, in whatever root."""
        self._set_providers(PROVIDER_SETTINGS + TAGS)

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """What Terraform said. AssertionError, with all of it, when its exit code is another."""
        if arguments[0] == "init":
            finished = self.terraform.initialise(self.path, *arguments[1:], environment=self.environment)
        else:
            environment = self._offline if arguments[0] in OFFLINE else self.environment
            finished = self.terraform.run(self.path, *arguments, environment=environment)
        assert finished.returncode in codes, f"terraform {' '.join(arguments)}\n{finished.stdout}"
        return finished.stdout

    def plan(
        self, *arguments: str, codes: tuple[int, ...] = (0,), file: str = "terrace.plan"
    ) -> dict[str, Any]:
        """What it would do, as `terraform show -json` tells it of the plan's `file`."""
        self.run("plan", "-no-color", "-input=false", f"-out={file}", *arguments, codes=codes)
        shown: dict[str, Any] = json.loads(self.run("show", "-json", file))
        return shown


def blocks(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and body of every block of a kind in a folder."""
    for path in sorted(folder.glob("*.tf")):
        for block in hcl2.loads(path.read_text(), serialization_options=OPTIONS).get(kind, []):
            yield from block.items()
