"""Terraform is found wherever it and its provider lie, and what is missing is named."""

import json
import os
import stat
from pathlib import Path

import pytest

from scripts import terraform
from scripts.terraform import Terraform, TerraformError

HOST = "registry.example"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """It has Terraform, an empty home, and nothing else; the folders of the real one are out of sight."""
    monkeypatch.setattr(terraform, "SHARED", (tmp_path / "opt",))
    install(tmp_path, "1.11.4")
    (tmp_path / "home").mkdir()
    return {
        "PATH": str(tmp_path / "bin") + ":/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_DIRS": str(tmp_path / "share"),
    }


def install(folder: Path, version: str) -> None:
    """A program that tells its version, or else the environment that it was given."""
    program = folder / "bin" / "terraform"
    program.parent.mkdir(exist_ok=True)
    answer = json.dumps({"terraform_version": version, "platform": "linux_amd64"})
    program.write_text(f"#!/bin/sh\nif [ \"$1\" = version ]; then echo '{answer}'; else env; fi\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def mirror(folder: Path, platform: str = "linux_amd64") -> Path:
    (folder / HOST / "hashicorp/aws/5.100.0" / platform).mkdir(parents=True)
    return folder


def find(environ: dict[str, str], tmp_path: Path) -> Terraform:
    return terraform.find(environ, build=tmp_path / "build")


def configuration_of(found: Terraform) -> str:
    return Path(found.variables["TF_CLI_CONFIG_FILE"]).read_text()


def test_without_terraform_it_says_what_to_install(machine: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TerraformError, match=r"not on PATH; install Terraform 1\.11 or newer"):
        find(machine | {"PATH": "/nowhere"}, tmp_path)


@pytest.mark.parametrize("version", ["1.10.5", "0.15.0", "no number"])
def test_an_old_terraform_is_refused(machine: dict[str, str], tmp_path: Path, version: str) -> None:
    install(tmp_path, version)
    with pytest.raises(TerraformError, match=f"is version {version}; install Terraform"):
        find(machine, tmp_path)


@pytest.mark.parametrize("version", ["1.11.0", "1.15.3", "2.0.0-beta1"])
def test_a_newer_one_is_taken(machine: dict[str, str], tmp_path: Path, version: str) -> None:
    install(tmp_path, version)
    assert find(machine, tmp_path).binary == str(tmp_path / "bin" / "terraform")


def test_a_program_that_is_something_else_is_refused(machine: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "terraform").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(TerraformError, match="tells no version"):
        find(machine, tmp_path)


def test_the_configuration_that_is_set_is_left_as_it_is(machine: dict[str, str], tmp_path: Path) -> None:
    mirror(tmp_path / "opt/plugins")
    (tmp_path / "mine.tfrc").write_text("# mine")
    found = find(machine | {"TF_CLI_CONFIG_FILE": str(tmp_path / "mine.tfrc")}, tmp_path)
    assert configuration_of(found) == "# mine"


def test_that_of_the_home_folder_too(machine: dict[str, str], tmp_path: Path) -> None:
    mirror(tmp_path / "opt/plugins")
    (tmp_path / "home/.terraformrc").write_text("# mine")
    assert configuration_of(find(machine, tmp_path)) == "# mine"


def test_a_configuration_that_is_not_there_is_replaced(machine: dict[str, str], tmp_path: Path) -> None:
    """Terraform itself would only warn, and look for the provider where it is not."""
    mirror(tmp_path / "opt/plugins")
    found = find(machine | {"TF_CLI_CONFIG_FILE": "/nowhere/terraformrc"}, tmp_path)
    assert f'path    = "{tmp_path}/opt/plugins"' in configuration_of(found)


def test_without_any_source_it_is_terraforms_own(machine: dict[str, str], tmp_path: Path) -> None:
    mirror(tmp_path / "opt/for-another-machine", "darwin_arm64")
    found = find(machine | {"TF_CLI_CONFIG_FILE": "/nowhere/terraformrc"}, tmp_path)
    assert "TF_CLI_CONFIG_FILE" not in found.variables
    told = found.run(
        tmp_path, "env", environment={"TF_CLI_CONFIG_FILE": "/nowhere/terraformrc", "PATH": os.defpath}
    )
    assert "/nowhere" not in told.stdout


@pytest.mark.parametrize(
    "folder",
    [
        "home/.terraform.d/plugins",
        "home/.local/share/terraform/plugins",
        "share/terraform/plugins",
        "opt/any-name",
    ],
)
def test_a_mirror_is_found_where_one_may_be(machine: dict[str, str], tmp_path: Path, folder: str) -> None:
    mirror(tmp_path / folder)
    text = configuration_of(find(machine, tmp_path))
    assert f'path    = "{tmp_path}/{folder}"' in text
    assert 'exclude = ["hashicorp/aws"]' in text


@pytest.mark.parametrize("version", ["5.99.1", "7.0.0"])
def test_a_mirror_of_versions_that_do_not_fit_is_passed_over(
    machine: dict[str, str], tmp_path: Path, version: str
) -> None:
    (tmp_path / "opt/other" / HOST / "hashicorp/aws" / version / "linux_amd64").mkdir(parents=True)
    assert "TF_CLI_CONFIG_FILE" not in find(machine, tmp_path).variables


def test_a_packed_mirror_is_found_too(machine: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "opt/packed" / HOST / "hashicorp/aws"
    folder.mkdir(parents=True)
    (folder / "terraform-provider-aws_6.4.0_linux_amd64.zip").touch()
    assert f'path    = "{tmp_path}/opt/packed"' in configuration_of(find(machine, tmp_path))


def test_the_mirror_that_is_named_goes_first(machine: dict[str, str], tmp_path: Path) -> None:
    mirror(tmp_path / "opt/any-name")
    named = mirror(tmp_path / "named")
    assert str(named) in configuration_of(find(machine | {"TF_PLUGIN_DIR": str(named)}, tmp_path))


def test_a_named_mirror_without_the_provider_is_an_error(machine: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TerraformError, match=r"TF_PLUGIN_DIR=\S+ holds no hashicorp/aws for linux_amd64"):
        find(machine | {"TF_PLUGIN_DIR": str(tmp_path)}, tmp_path)


def test_a_persons_variables_do_not_reach_the_commands(machine: dict[str, str], tmp_path: Path) -> None:
    outside = {"TF_VAR_name": "x", "TF_CLI_ARGS_plan": "-destroy", "TF_DATA_DIR": "/x", "TF_WORKSPACE": "x"}
    told = find(machine, tmp_path).run(tmp_path, "env", environment=machine | outside).stdout
    for name in outside:
        assert f"{name}=" not in told
    assert f"TF_PLUGIN_CACHE_DIR={tmp_path}/build/cache/terraform-providers" in told
