"""Every module is formatted, valid on the provider that is there, documented, and passes its own tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import terraform_docs
from scripts.terraform import Terraform
from tests.conftest import TEMPLATE
from tests.terraform.conftest import Ahead
from tests.terraform.roots import blocks, files, modules

MODULES = modules()


def test_everything_is_formatted(terraform: Terraform, tree: Path) -> None:
    finished = terraform.run(tree, "fmt", "-check", "-recursive", "-diff", "-no-color")
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_valid(ahead: Ahead, module: str) -> None:
    checked = ahead.result("module", module)
    assert checked.init[0] == 0, checked.init[1]
    code, said = checked.validate
    assert code == 0, said
    assert "Warning" not in said, said


@pytest.mark.parametrize("module", MODULES)
def test_a_module_passes_its_tests(ahead: Ahead, module: str) -> None:
    code, said = ahead.result("module", module).test
    assert code == 0, said
    passed = re.search(r"Success! (\d+) passed, 0 failed\.", said)
    assert passed is not None, said
    assert int(passed[1]) > 0, said


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_files_that_a_reader_looks_for(module: str) -> None:
    folder = TEMPLATE / "terraform" / "modules" / module
    for name in ("README.md", "variables.tf", "outputs.tf", "versions.tf"):
        assert (folder / name).is_file(), name
    assert list((folder / "tests").glob("*.tftest.hcl"))
    assert (TEMPLATE / "terraform" / "examples" / module).is_dir(), "an example applies each module"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_brings_no_provider_of_its_own(module: str) -> None:
    assert not list(blocks(TEMPLATE / "terraform" / "modules" / module, "provider"))


def test_nothing_that_a_tool_leaves_behind_is_in_the_tree() -> None:
    for path in files():
        assert not re.search(r"\.terraform|\.tfstate|\.tfplan|_override\.tf$", str(path)), path


def test_the_tables_of_the_readmes_are_those_of_the_declarations() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "scripts.terraform_docs", "--check"],
        cwd=TEMPLATE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with one input and one output of each sort, and no tables yet."""
    folder = tmp_path / "terraform/modules/sample"
    folder.mkdir(parents=True)
    (folder / "variables.tf").write_text(
        'variable "count_of_things" {\n  description = "How many."\n  type = number\n  default = 1\n}\n'
        'variable "name" {\n  description = "Prefix of <all> | \\"it\\"."\n  type = string\n}\n'
        'variable "sizes" {\n  description = <<-EOT\n    In\n    GiB.\n  EOT\n'
        "  type = map(object({\n    small = optional(number, 1)\n  }))\n"
        "  default = { a = { small = 2 } }\n}\n"
        'variable "quiet" {\n  description = "No noise."\n  type = bool\n  default = null\n}\n'
    )
    (folder / "outputs.tf").write_text('output "arn" {\n  description = "Its ARN."\n  value = "x"\n}\n')
    (folder / "README.md").write_text("# Sample\n\n<!-- inputs and outputs -->\n<!-- end -->\n\nMore.\n")
    monkeypatch.setattr(terraform_docs, "MODULES", folder.parent)
    return folder


def test_tables_are_written_once_and_then_up_to_date(documented: Path) -> None:
    assert terraform_docs.main(["--check"]) == 1
    assert terraform_docs.main([]) == 0
    text = (documented / "README.md").read_text()
    assert text.startswith("# Sample\n\n<!-- inputs and outputs -->\n\n## Inputs\n")
    assert text.endswith("| `arn` | Its ARN. |\n\n<!-- end -->\n\nMore.\n")
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        '| `name` | Prefix of &lt;all> \\| "it". | `string` | required |',
        "| `count_of_things` | How many. | `number` | `1` |",
        "| `quiet` | No noise. | `bool` | `null` |",
        "| `sizes` | In GiB. | `map(object({small = optional(number, 1)}))` | `{a = {small = 2}}` |",
        "| `arn` | Its ARN. |",
    ]
    assert terraform_docs.main(["--check"]) == 0


def test_a_readme_without_a_place_for_them_is_an_error(
    documented: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (documented / "README.md").write_text("# Sample\n")
    assert terraform_docs.main([]) == 1
    assert "needs one line `<!-- inputs and outputs -->`" in capsys.readouterr().err


def test_an_input_without_a_description_is_an_error(
    documented: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (documented / "more.tf").write_text('variable "mystery" {}\n')
    assert terraform_docs.main([]) == 1
    assert "`mystery` has no description" in capsys.readouterr().err
