"""Where things are, and how what was not done is said. Standard library."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
BUILD = ROOT / "build" / "terraform"
ENVIRONMENTS = ("dev", "staging", "production")


class Refusal(Exception):
    """It was not done; the text is one line that says what to do."""


def refuse(message: str) -> NoReturn:
    raise Refusal(message)


def environment(*, needed: bool = True) -> str:
    """The value of ENV. Raises Refusal."""
    name = os.environ.get("ENV", "")
    if not name and not needed:
        return ""
    if name not in ENVIRONMENTS:
        refuse(f"ENV={name or '(nothing)'}: give ENV=dev, ENV=staging or ENV=production")
    return name


def value_of(name: str, file: str = "common.tfvars") -> str:
    """A plain text at the top of a file of values. Raises Refusal."""
    text = (TERRAFORM / "environments" / file).read_text()
    found = re.search(rf'^{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return found[1] if found else refuse(f"terraform/environments/{file}: {name} is missing")


def tool(name: str, source: str) -> str:
    """The path of a command. Raises Refusal."""
    return shutil.which(name) or refuse(f"{name} is not installed: {source}")


def run(main: Any) -> None:
    """Call it with the arguments; a refusal is one line and exit code 2."""
    try:
        main(*sys.argv[1:])
    except Refusal as refusal:
        sys.stderr.write(f"error: {refusal}\n")
        raise SystemExit(2) from None
