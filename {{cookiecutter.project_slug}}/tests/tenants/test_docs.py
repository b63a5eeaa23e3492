"""What the docs tell operators to type is there to be typed."""

import re
from pathlib import Path

import pytest
import typer

from app.cli import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMANDS = typer.main.get_command(cli).commands["tenants"].commands  # type: ignore[attr-defined]

# `list` and `renew-logins` take nothing, so they are no invocation; the others are not about a tenant's life.
TOLD_ELSEWHERE = {"bootstrap", "list", "nodes", "prove-isolation", "rebalance", "renew-logins"}


def invocations() -> list[list[str]]:
    """What stands between backticks and begins with a command."""
    quoted = re.findall(r"`([a-z][a-z-]+ [^`]+)`", (DOCS / "tenant-lifecycle.md").read_text())
    words = [text.replace("[", " ").replace("]", " ").split() for text in quoted]
    return [found for found in words if found[0] != "make"]


def test_every_command_is_in_the_docs() -> None:
    assert set(COMMANDS) - {words[0] for words in invocations()} == TOLD_ELSEWHERE


@pytest.mark.parametrize("words", invocations(), ids=" ".join)
def test_every_command_and_option_of_the_docs_exists(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= options
