"""What the documents tell people to type works as it stands there, and every route for tenants is told."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from app.access import declared_access
from app.cli import cli
from app.core.openapi import api_routes
from app.core.settings import Settings
from app.main import create_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
NOTE = "Type commands in the project's folder, after `make init`"
# Up to a comment, a pipe, the end of what is quoted, or what is left out.
COMMAND = re.compile(r"(\S*python) -m ([a-z_.]+)((?: [^`#|\n…]*)?)")
COMMANDS = typer.main.get_command(cli)


def commands() -> list[tuple[str, str, str, str]]:
    """Page, interpreter, module and arguments of each."""
    return [
        (page.name, interpreter, module, arguments)
        for page in PAGES
        for interpreter, module, arguments in COMMAND.findall(page.read_text().replace("\\\n", " "))
    ]


def test_there_are_commands_to_look_at() -> None:
    assert len(commands()) >= 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_with_commands_says_at_its_top_where_to_type_them(page: Path) -> None:
    text = page.read_text()
    if page.name != "README.md" and "-m app" in text:
        assert text.split("\n\n")[1].startswith(NOTE)


@pytest.mark.parametrize("told", commands(), ids=lambda told: f"{told[0]}: {told[2]}{told[3]}".strip())
def test_every_command_can_be_typed_as_it_is_told(told: tuple[str, str, str, str]) -> None:
    _, interpreter, module, arguments = told
    assert interpreter.lstrip("`") == ".venv/bin/python", "a bare `python` has none of the packages"
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists() or (ROOT / module).is_dir()
    if module == "app":
        refuse_unknown(arguments.split())


def refuse_unknown(words: list[str]) -> None:
    """Fails for a command or an option that there is not."""
    command: Any = COMMANDS
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize(
    "wrong", ["tenants vanish", "tenants list --all", "migrate apply --canary 5 --fast", "tenant list"]
)
def test_a_command_that_does_not_exist_would_be_noticed(wrong: str) -> None:
    with pytest.raises(AssertionError):
        refuse_unknown(wrong.split())


def test_every_route_for_tenants_is_told(settings: Settings) -> None:
    text = (ROOT / "docs/tenant-lifecycle.md").read_text()
    open_app = create_app(settings.model_copy(update={"sign_up_enabled": True}))
    routes = {
        f"{method} {route.path}"
        for route in api_routes(open_app)
        for method in sorted(route.methods or ())
        if str(route.path).startswith(("/v1/tenants", "/v1/sign-up"))
    }
    assert len(routes) >= 12
    told = {f"{method} {path}" for method, path in re.findall(r"`([A-Z]+) (/v1/[^`]+)`", text)}
    assert told == routes


def test_each_claim_about_security_is_shown_by_a_test_that_there_is() -> None:
    rows = [line for line in (ROOT / "docs/security.md").read_text().splitlines() if line.startswith("| ")]
    claims = [row.split("|") for row in rows if not row.startswith("| claim |")]
    assert len(claims) >= 30
    for _, claim, source, shown, _ in claims:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown)
        assert source.strip(), claim
        assert named, claim
        for path, test in named:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), (
                path,
                test,
            )


def test_every_route_about_roles_is_told_with_its_permission(settings: Settings) -> None:
    text = (ROOT / "docs/access.md").read_text()
    rows = re.findall(r"^\| (`[A-Z]+ /v1.*?) \| `([a-z_:]+)` \|", text, re.MULTILINE)
    told = {
        (route, permission) for cell, permission in rows for route in re.findall(r"[A-Z]+ /v1/[^`]+", cell)
    }
    declared = {
        (f"{method} {route.path}", declared_access(route.endpoint))
        for route in api_routes(create_app(settings))
        for method in route.methods or ()
    }
    assert told <= declared
    assert {route for route, _ in told} >= {route for route, _ in declared if "/v1/roles" in route}
