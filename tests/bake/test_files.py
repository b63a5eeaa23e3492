"""Every file of the project is rendered on purpose or copied as it stands, and nothing is left over."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT_FOLDER, TEMPLATE, Bake, template_files

# Where a person's answers stand. Everything else is free of Jinja, so that tools work on it in place.
RENDERED = {
    ".terrace.json",
    "CODEOWNERS",
    "LICENSE",
    "README.md",
    "project.env",
    "terraform/environments/common.tfvars",
}
JINJA = re.compile(r"\{\{\s*cookiecutter|\{%[-+]?\s*(if|for|set|now|raw|include)\b")


MODULES = Path("terraform/modules")


def project_files() -> list[Path]:
    """Those of the project's folder, and the modules that it has a link to."""
    files = template_files()
    own = [path.relative_to(PROJECT_FOLDER) for path in files if path.parts[0] == PROJECT_FOLDER]
    return own + [path for path in files if path.is_relative_to(MODULES)]


def is_copied(path: Path) -> bool:
    """As cookiecutter decides: the file or a folder above it matches a pattern."""
    patterns = json.loads((TEMPLATE / "cookiecutter.json").read_text())["_copy_without_render"]
    candidates = [path, *path.parents][:-1]
    return any(fnmatch.fnmatch(str(candidate), pattern) for candidate in candidates for pattern in patterns)


def test_every_file_is_rendered_on_purpose_or_copied() -> None:
    files = project_files()
    assert len(files) > 100
    rendered = {str(path) for path in files if not is_copied(path)}
    assert rendered == RENDERED


def test_a_new_file_at_the_top_would_be_noticed() -> None:
    assert not is_copied(Path("surprise.py"))
    assert is_copied(Path("app/main.py"))


def test_copied_files_hold_no_jinja() -> None:
    for path in project_files():
        if is_copied(path):
            assert not JINJA.search((TEMPLATE / PROJECT_FOLDER / path).read_text(errors="ignore")), path


def test_rendered_files_hold_the_answers_they_are_rendered_for() -> None:
    for name in RENDERED:
        assert JINJA.search((TEMPLATE / PROJECT_FOLDER / name).read_text()), name


def test_a_bake_has_the_same_files_and_nothing_is_left_over(bake: Callable[..., Bake]) -> None:
    result = bake()
    assert result.code == 0, result.output
    made = {path.relative_to(result.project) for path in result.project.rglob("*") if path.is_file()}
    assert made == set(project_files())
    for path in made:
        assert "cookiecutter." not in (result.project / path).read_text(errors="ignore") or is_copied(path), (
            path
        )
        assert not JINJA.search((result.project / path).read_text(errors="ignore")), path


def test_copied_files_are_the_same_byte_for_byte(bake: Callable[..., Bake]) -> None:
    project = bake().project
    for path in filter(is_copied, project_files()):
        assert (project / path).read_bytes() == (TEMPLATE / PROJECT_FOLDER / path).read_bytes(), path


def zipped(template: Path, archive: Path) -> Path:
    """As a forge packs it; Python's zipfile, which unpacks it, writes a link as the text of its target."""
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("terrace/", "")
        for path in sorted(template.rglob("*")):
            name = f"terrace/{path.relative_to(template)}"
            if path.is_symlink():
                packed.writestr(name, str(path.readlink()))
            elif path.is_file():
                packed.write(path, name)
    return archive


@pytest.mark.parametrize("source", ["folder", "relative folder", "zip"])
def test_the_modules_are_real_files_in_a_project(
    bake: Callable[..., Bake], template: Path, tmp_path: Path, source: str
) -> None:
    sources = {"folder": template, "relative folder": Path(os.path.relpath(template, tmp_path))}
    chosen = zipped(template, tmp_path / "terrace.zip") if source == "zip" else sources[source]
    result = bake(source=chosen, environment={"PWD": str(tmp_path)})
    assert result.code == 0, result.output
    assert not (result.project / MODULES).is_symlink()
    files = {path.relative_to(MODULES) for path in template_files() if path.is_relative_to(MODULES)}
    made = {
        path.relative_to(result.project / MODULES)
        for path in (result.project / MODULES).rglob("*")
        if path.is_file()
    }
    assert made == files
    for path in files:
        assert (result.project / MODULES / path).read_bytes() == (TEMPLATE / MODULES / path).read_bytes()


def test_modules_that_cannot_be_had_are_named_and_the_project_stays(
    bake: Callable[..., Bake], template: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(template, broken, symlinks=True)
    shutil.rmtree(broken / MODULES)
    link = broken / PROJECT_FOLDER / MODULES
    link.unlink()
    link.write_text("../../terraform/modules")
    result = bake(source=broken)
    assert result.code == 0, result.output
    assert "Copy the template's terraform/modules to" in result.output


def test_scripts_stay_executable(bake: Callable[..., Bake]) -> None:
    project = bake().project
    for path in project_files():
        mode = (TEMPLATE / PROJECT_FOLDER / path).stat().st_mode & 0o111
        assert (project / path).stat().st_mode & 0o111 == mode, path


@pytest.mark.parametrize(
    ("license_name", "words"),
    [
        ("MIT", "Permission is hereby granted"),
        ("BSD-3-Clause", "Redistributions of source code"),
        ("Proprietary", "All rights reserved."),
    ],
)
def test_the_license_is_the_chosen_one(bake: Callable[..., Bake], license_name: str, words: str) -> None:
    text = (bake(license=license_name, owner="O'Brien & Söhne").project / "LICENSE").read_text()
    assert words in text
    assert "O'Brien & Söhne" in text


def test_answers_arrive_in_the_settings(bake: Callable[..., Bake]) -> None:
    project = bake(
        project_name="O'Brien's Café #1",
        project_slug="cafe-1",
        first_tenant_name="Größe & Co = 'x'",
        admin_email="o'brien+first@example.com",
        domain_name="cafe.example.com",
    ).project
    assert project.name == "cafe-1"
    assert (project / "project.env").read_text().splitlines()[2:] == [
        "APP_PROJECT_NAME=\"O'Brien's Café #1\"",
        'APP_API_KEY_PREFIX="cafe1"',
        'APP_JWT_ISSUER="https://api.cafe.example.com"',
        "APP_FIRST_TENANT_NAME=\"Größe & Co = 'x'\"",
        'APP_FIRST_TENANT_ADMIN_EMAIL="o\'brien+first@example.com"',
    ]


@pytest.mark.parametrize(
    ("written", "resumed"), [("keys/current.pem", True), ("keys/current.pem first-tenant.json", False)]
)
def test_a_set_up_that_was_interrupted_is_resumed_and_a_finished_one_is_left_alone(
    bake: Callable[..., Bake], tmp_path: Path, written: str, resumed: bool
) -> None:
    """Without make on the PATH the hook can only say that it would have resumed."""
    local = tmp_path / "Ada's projects" / "acme-platform" / ".local"
    for name in written.split():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_text("kept")
    result = bake(
        local.parents[1],
        bootstrap="yes",
        options=("--overwrite-if-exists",),
        environment={"PATH": "/nowhere"},
    )
    assert result.code == 0, result.output
    assert ("`make` is not installed" in result.output) is resumed
    assert ("data, keys and credentials were not touched" in result.output) is not resumed
    assert f"cd {shlex.quote(str(local.parent))} && make" in result.output
    assert (local / "keys/current.pem").read_text() == "kept"


def test_every_question_has_a_prompt() -> None:
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    asked = {name for name in questions if not name.startswith("_")}
    assert asked == set(questions["__prompts__"])
    assert asked == {
        "project_name", "project_slug", "description", "owner", "admin_email", "first_tenant_name",
        "aws_region", "domain_name", "license", "bootstrap",
    }  # fmt: skip


def test_no_question_is_asked_for_nothing() -> None:
    texts = [(TEMPLATE / PROJECT_FOLDER / name).read_text() for name in RENDERED]
    texts += [path.read_text() for path in (TEMPLATE / "hooks").glob("post_gen*.py")]
    for name in json.loads((TEMPLATE / "cookiecutter.json").read_text())["__prompts__"]:
        assert any(f"cookiecutter.{name}" in text for text in texts), f"nothing reads {name}"


@pytest.mark.parametrize("folder", [TEMPLATE, TEMPLATE / PROJECT_FOLDER], ids=["template", "project"])
def test_workflows_ask_for_little_and_call_make(folder: Path) -> None:
    workflows = sorted((folder / ".github/workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}, path
        for job in workflow["jobs"].values():
            assert job["permissions"] == {"contents": "read"}
            assert job["timeout-minutes"] <= 90
            for step in job["steps"]:
                assert step.get("run", "make ").startswith("make "), f"{path}: logic belongs in make: {step}"
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40)), step
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def test_no_lock_holds_the_address_of_a_registry() -> None:
    locks = [path for path in template_files() if path.suffix in {".txt", ".lock"} or "lock" in path.name]
    assert len(locks) >= 5
    for path in locks:
        text = (TEMPLATE / path).read_text()
        assert "://" not in re.sub(r'"url": "https://(opencollective|github)[^"]*"', "", text), path
        assert '"resolved"' not in text, path


def test_nothing_in_the_template_is_secret_or_local() -> None:
    for path in template_files():
        text = (TEMPLATE / path).read_text(errors="ignore")
        assert not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{200}", text), path
        assert os.environ.get("HOME", "/nowhere") + "/" not in text or os.environ["HOME"] == "/", path
