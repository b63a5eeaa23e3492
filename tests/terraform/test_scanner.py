"""checkov finds nothing in modules, examples and production stacks; each skipped check has its reason."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT_FOLDER, TEMPLATE, template_files
from tests.terraform.roots import files

# An example is destroyed again, so it turns off what would forbid that; the modules' defaults keep it on.
WEAKER_IN_EXAMPLES = {"CKV_AWS_150", "CKV_AWS_293"}
PROJECT = TEMPLATE / PROJECT_FOLDER / "terraform"
SKIP = re.compile(r"checkov:skip=(\w+)(.*)")


def scan(checkov: str, folder: Path, *options: str) -> dict[str, Any]:
    """Its report; it needs no network and no account."""
    finished = subprocess.run(
        [checkov, "--directory", str(folder), "--framework", "terraform", "--skip-download", "--quiet",
         "--compact", "--output", "json", *options],
        cwd=folder,
        env={**os.environ, "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode in {0, 1}, finished.stderr
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def failures(report: dict[str, Any]) -> list[str]:
    assert report["summary"]["parsing_errors"] == 0, report["results"]["parsing_errors"]
    return [
        f"{fault['file_path']} {fault['resource']}: {fault['check_id']} {fault['check_name']}"
        for fault in report["results"]["failed_checks"]
        if not (fault["resource"].startswith("module.") and fault["check_id"] in WEAKER_IN_EXAMPLES)
    ]


@pytest.mark.skipif(not files(), reason="there is nothing to scan")
def test_the_scanner_finds_nothing(checkov: str, tree: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(tree, tmp_path / "terraform"))
    shutil.copytree(PROJECT / "stacks", whole / "stacks", ignore=shutil.ignore_patterns("*_override.tf"))
    values = tmp_path / "production.tfvars"
    environments = PROJECT / "environments"
    texts = [(environments / f"{name}.tfvars").read_text() for name in ("common", "production")]
    values.write_text(re.sub(r"\{\{.*?\}\}", "acme", "".join(texts)))
    report = scan(checkov, whole, "--var-file", str(values))
    assert failures(report) == []
    assert report["summary"]["passed"] > 500


def test_the_scanner_finds_what_is_planted(checkov: str, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "aws_sns_topic" "bad" {\n  name = "bad"\n}\n')
    assert [fault for fault in failures(scan(checkov, tmp_path)) if "aws_sns_topic.bad: CKV_AWS_26" in fault]


def test_a_check_is_skipped_where_it_stands_and_for_a_reason() -> None:
    stacks = [path for path in template_files() if path.parts[:2] == (PROJECT_FOLDER, "terraform")]
    for path in [*files(), *stacks]:
        for line in (TEMPLATE / path).read_text().splitlines():
            if "checkov:skip" not in line:
                continue
            match = SKIP.search(line)
            assert match is not None, f"{path}: {line}"
            assert re.fullmatch(r"CKV2?_[A-Z]+_\d+", match[1]), f"{path}: {line}"
            assert re.fullmatch(r":\s*\S.{14,}", match[2]), f"{path}: a reason, as in `{match[0]}:why`"


def test_nothing_is_skipped_for_everything() -> None:
    names = {path.name for path in files()} | {path.name for path in TEMPLATE.iterdir()}
    assert not {".checkov.yaml", ".checkov.yml", ".checkov.baseline"} & names
