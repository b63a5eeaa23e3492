"""The commands of docs/keys.md, in their order, do what the page says of them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from app.auth.key_folder import key_file
from app.auth.rotation import JWKS_MAX_AGE, PUBLISHED_FOR, RETIRED_FOR
from tests.commands import run_command

GUIDE = (Path(__file__).resolve().parents[2] / "docs/keys.md").read_text()
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def told() -> list[list[str]]:
    """The commands for a folder; those for AWS run against an emulator with the template."""
    lines = re.findall(r"^ *\.venv/bin/python -m app (keys .+)$", GUIDE, re.MULTILINE)
    return [line.split() for line in lines if "--secret" not in line]


def test_the_commands_for_a_folder_rotate_its_keys(tmp_path: Path) -> None:
    assert run_command("keys", "generate", "--directory", "keys", cwd=tmp_path).returncode == 0
    done = []
    for words in told():
        finished = run_command(*words, "--json", cwd=tmp_path)
        assert finished.returncode == 0, (words, finished.stderr)
        done.append(json.loads(finished.stdout).get("done", words[1]))
        for path in (tmp_path / "keys").iterdir():  # Time goes by.
            path.write_text(key_file(path.read_text().split("\n", 1)[1], LONG_AGO).content)
    assert done == ["prepare", "promote", "drop", "list", "replace"]


def test_the_times_are_those_of_the_rotation() -> None:
    assert (JWKS_MAX_AGE.total_seconds(), PUBLISHED_FOR.total_seconds()) == (5 * 60, 6 * 60)
    assert "6 minutes later: others may keep the published keys for 5" in GUIDE
    assert 2 * 3600 <= RETIRED_FOR.total_seconds() < 2 * 3600 + 60
    assert "two hours after that" in GUIDE
