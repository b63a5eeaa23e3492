"""A copy of the Terraform half of the template, and work that runs ahead of the tests that ask for it."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.terraform import Terraform
from tests.aws_emulator.launcher import AwsEmulator
from tests.conftest import TEMPLATE, run_cookiecutter
from tests.terraform.provider import shared_provider
from tests.terraform.roots import Root, as_in_production, copy_tree, examples, modules
from tests.terraform.stacks import Stacks, bring

PLANTED = Path(__file__).parent / "planted"
# Each holds a core for most of its time.
AT_ONCE = 2
STACK_WORK = ("stack", "planned", "weakened")


@dataclass(frozen=True)
class Checked:
    """What Terraform said of one module; of a step that was not reached, why."""

    init: tuple[int, str]
    validate: tuple[int, str]
    test: tuple[int, str]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("terraform"))


class Ahead:
    """Results by name. All the work that the selected tests need begins with the first that asks."""

    def __init__(self, pool: ThreadPoolExecutor, work: dict[tuple[str, str], Callable[[], Any]]) -> None:
        self._futures: dict[tuple[str, str], Future[Any]] = {
            name: pool.submit(task) for name, task in work.items()
        }

    def result(self, kind: str, name: str = "") -> Any:
        """Raises what the work raised."""
        return self._futures[kind, name].result()


@pytest.fixture(scope="session")
def ahead(
    request: pytest.FixtureRequest,
    terraform: Terraform,
    tree: Path,
    aws_emulator: AwsEmulator,
    provider: dict[str, str],
) -> Iterator[Ahead]:
    def plan(folder: Path) -> dict[str, Any]:
        root = Root(folder, terraform, aws_emulator, provider)
        root.run("init", "-backend=false")
        return root.plan()

    def plan_as_in_production(example: Path) -> dict[str, Any]:
        return plan(as_in_production(example))

    def planted() -> dict[str, Any]:
        return plan(Path(shutil.copytree(PLANTED, tree.parent / "planted")))

    wanted = {key for item in request.session.items for key in needs(item)}
    possible: dict[tuple[str, str], Callable[[], Any]] = {("planted", ""): planted}
    for name in modules():
        possible["module", name] = partial(check_module, terraform, tree / "modules" / name, provider)
    for name in examples():
        possible["example", name] = partial(plan_as_in_production, tree / "examples" / name)
    if any(kind in STACK_WORK for kind, _ in wanted):
        possible |= request.getfixturevalue("stacks").work()
    pool = ThreadPoolExecutor(AT_ONCE)
    yield Ahead(pool, {name: task for name, task in possible.items() if name in wanted})
    pool.shutdown(cancel_futures=True)


def needs(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """The work that a test will ask for, by the names of its arguments."""
    if "ahead" not in getattr(item, "fixturenames", ()):
        return
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    for kind in ("module", "example", *STACK_WORK):
        if kind in parameters:
            yield kind, parameters[kind]
    if item.get_closest_marker("planted"):
        yield "planted", ""


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project, baked once, and only read."""
    home = tmp_path_factory.mktemp("stacks")
    result = run_cookiecutter(template, home / "out", {}, home=home)
    assert result.code == 0, result.output
    values = result.project / "terraform/environments/common.tfvars"
    text = values.read_text()
    assert "github_repository = null" in text
    values.write_text(text.replace("= null", '= "acme@1234567/api@7654321"'))
    return result.project


@pytest.fixture(scope="session")
def stacks(project: Path, terraform: Terraform, provider: dict[str, str]) -> Iterator[Stacks]:
    """On an emulator of their own, with what is there before Terraform."""
    with AwsEmulator() as emulator:
        bring(emulator)
        yield Stacks(project, terraform, emulator, provider)


@pytest.fixture(scope="session")
def provider(terraform: Terraform, tree: Path) -> Iterator[dict[str, str]]:
    with shared_provider(terraform, PLANTED / "versions.tf", tree.parent / "provider") as variables:
        yield variables


def check_module(terraform: Terraform, folder: Path, provider: dict[str, str]) -> Checked:
    """init, validate, test; each only when the one before it went well."""
    environment = os.environ | provider
    steps = {
        "init": partial(terraform.initialise, folder, "-backend=false"),
        "validate": partial(terraform.run, folder, "validate", "-no-color", environment=environment),
        "test": partial(terraform.run, folder, "test", "-no-color", environment=environment),
    }
    said: dict[str, tuple[int, str]] = {}
    for name, step in steps.items():
        failed = next((before for before, (code, _) in said.items() if code), None)
        if failed:
            said[name] = (1, f"not reached, {failed} failed")
        else:
            finished = step()
            said[name] = (finished.returncode, finished.stdout)
    return Checked(**said)


@pytest.fixture(scope="session")
def checkov() -> str:
    """The scanner has an environment of its own, since its pins fit no other."""
    own = TEMPLATE / "build" / "checkov" / "bin" / "checkov"
    found = str(own) if own.exists() else shutil.which("checkov")
    if found is None:
        pytest.skip("checkov is not installed; `make test-terraform` does it")
    return found
