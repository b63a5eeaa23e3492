"""Every command in docs/deploy.md exists: make targets and their values, tasks, secrets."""

import re
from pathlib import Path

from tests.test_docs import refuse_unknown
from tools.deploy.common import ENVIRONMENTS
from tools.deploy.stacks import STACKS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
# What a reader has installed, beside what the project brings.
OTHERS = {"aws", "curl", "docker", "export", "git", "python3", "terraform"}


def commands() -> list[str]:
    """Each line of the shell blocks, with its continuations."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", GUIDE, re.MULTILINE | re.DOTALL)
    joined = re.sub(r"\|\n\s+", "| ", "".join(blocks))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def test_each_line_begins_with_a_command_that_is_known() -> None:
    assert len(commands()) > 25
    for line in commands():
        for part in re.sub(r"'[^']*'", "''", line).split(" | "):
            command = re.sub(r"^[A-Z]+=\$\(", "", part).split()[0]
            assert command in OTHERS | {"make", ".venv/bin/python"}, line


def test_each_make_target_exists_and_gets_values_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    tasks = (ROOT / "terraform/stacks/service/tasks.tf").read_text()
    known = {
        "APPLY": ("1",), "AWS": ("1",), "CONFIRM": ("acme-account",), "ENV": ENVIRONMENTS,
        "IMAGE": ('"$IMAGE"',), "LOCAL": ("1",), "MOVE": ("1",), "PART": ("tasks",), "STACK": STACKS,
    }  # fmt: skip
    called = [line.split()[1:] for line in commands() if line.startswith("make ")]
    assert {target for target, *_ in called} >= {
        "tf-init", "tf-plan", "tf-apply", "tf-destroy", "cache-user", "secrets", "task", "doctor",
        "github-variables",
    }  # fmt: skip
    for target, *variables in called:
        assert target in targets
        for name, _, value in (variable.partition("=") for variable in variables):
            if name == "TASK":
                assert re.search(rf"^ +{value} += \[", tasks, re.MULTILINE), value
            else:
                assert value in known[name], (target, name, value)


def test_the_tasks_are_commands_of_the_service() -> None:
    text = (ROOT / "terraform/stacks/service/tasks.tf").read_text()
    found = re.findall(r'^ +(?:\w+) += \["(\w+)", "(\w+)"\]$', text, re.MULTILINE)
    assert len(found) == 3
    for words in found:
        refuse_unknown(list(words))


def test_each_secret_that_is_named_is_made() -> None:
    made = (ROOT / "terraform/stacks/platform/secrets.tf").read_text()
    named = re.findall(r"--secret-id acme-dev/([\w-]+)", GUIDE)
    assert named
    # `make cache-user` makes this one, before Terraform.
    for name in set(named) - {"cache-user"}:
        assert re.search(rf"^ +{name} += ", made, re.MULTILINE), name


def test_the_steps_are_numbered_without_a_gap() -> None:
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", GUIDE, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 10
