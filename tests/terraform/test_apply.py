"""Every example is applied on the emulator, stays as it is, keeps the invariants and leaves nothing."""

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import AwsEmulator
from tests.terraform.invariants import ALWAYS
from tests.terraform.roots import CANARY, Root, copy_tree, examples

pytestmark = pytest.mark.apply
# They wait more than they work.
AT_ONCE = 4


@pytest.fixture(scope="module")
def applied(
    request: pytest.FixtureRequest, terraform: Terraform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The life of every example that is selected, each on an emulator of its own."""
    wanted = {
        item.callspec.params["example"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "applied" in item.fixturenames
    }
    tree = copy_tree(tmp_path_factory.mktemp("applied"))
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {
        name: pool.submit(live, tree / "examples" / name, terraform) for name in examples() if name in wanted
    }
    pool.shutdown(cancel_futures=True)


def live(folder: Path, terraform: Terraform) -> None:
    """Apply, plan again, destroy. AssertionError for whatever is not as it should be."""
    with AwsEmulator(log=folder / "emulator.log") as emulator:
        before = emulator.holdings()
        root = Root(folder, terraform, emulator)
        root.run("init")
        root.run("apply", "-auto-approve", "-no-color", "-input=false")
        again = root.plan("-detailed-exitcode", codes=(0, 2))
        nothing("the second plan would change", changes(again))
        nothing(
            "the invariants broken are",
            {name: faults for name, check in ALWAYS.items() if (faults := check(again))},
        )
        for kept in (json.dumps(again), (folder / "terraform.tfstate").read_text()):
            assert CANARY not in kept
        change(root)
        root.run("destroy", "-auto-approve", "-no-color", "-input=false")
        assert root.run("state", "list").strip() == ""
        nothing("the emulator still holds", left(before, emulator.holdings()))


def change(root: Root) -> None:
    """What has tags gets another one: nothing is replaced by that, and it is done once."""
    root.tag_everything()
    changed = changes(root.plan())
    assert changed, "nothing has tags"
    nothing("a tag replaces", {address: it for address, it in changed.items() if it[0] != ["update"]})
    root.run("apply", "-auto-approve", "-no-color", "-input=false", "terrace.plan")
    nothing("the plan after a change would change", changes(root.plan()))


def nothing(what: str, found: dict[str, Any]) -> None:
    assert not found, f"{what}: {json.dumps(found, indent=2, default=str)}"


def changes(plan: dict[str, Any]) -> dict[str, Any]:
    """By address, what a plan would do, with the values that differ."""
    found = {}
    for change in plan.get("resource_changes", []):
        if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]:
            before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
            differing = {
                name: (before.get(name), after.get(name))
                for name in {*before, *after}
                if before.get(name) != after.get(name)
            }
            found[change["address"]] = (change["change"]["actions"], differing)
    return found


def left(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        kind: new for kind, names in after.items() if (new := sorted(set(names) - set(before.get(kind, []))))
    }


@pytest.mark.parametrize("example", examples())
def test_an_example_is_applied_stays_the_same_and_leaves_nothing(
    applied: dict[str, Future[None]], example: str
) -> None:
    applied[example].result()


STATE = """\
terraform {
  backend "s3" {
    bucket                      = "states"
    key                         = "test.tfstate"
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
  }
}

resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "touch begun; while [ ! -e released ]; do sleep 0.1; done"
  }
}
"""


def test_a_second_run_is_refused_while_the_first_holds_the_lock(terraform: Terraform, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (first / "main.tf").write_text(STATE)
    shutil.copytree(first, second)
    with AwsEmulator() as emulator, ThreadPoolExecutor(1) as pool:
        boto3.client("s3", **emulator.client_arguments()).create_bucket(Bucket="states")
        holder, other = Root(first, terraform, emulator), Root(second, terraform, emulator)
        for root in (holder, other):
            (root.path / "terrace_override.tf").unlink()
            root.run("init", "-input=false")
        running = pool.submit(holder.run, "apply", "-auto-approve", "-no-color")
        try:
            while not (first / "begun").exists() and not running.done():
                time.sleep(0.1)
            refused = other.run("plan", "-no-color", codes=(1,))
            assert "Error acquiring the state lock" in refused
        finally:
            (first / "released").touch()
        running.result()
        assert "No changes" in other.run("plan", "-no-color")
