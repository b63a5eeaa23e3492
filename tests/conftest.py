"""A clean copy of the template, as a user has it, and bakes made from it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import terraform as finder
from scripts.terraform import Terraform, TerraformError
from tests.aws_emulator.launcher import AwsEmulator

TEMPLATE = Path(__file__).resolve().parents[1]
PROJECT_FOLDER = "{{cookiecutter.project_slug}}"


@dataclass(frozen=True)
class Bake:
    """What one run of cookiecutter did. `project` exists only when it succeeded."""

    code: int
    output: str
    folder: Path

    @property
    def project(self) -> Path:
        (project,) = (path for path in self.folder.iterdir() if path.is_dir())
        return project


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files and those that are new but not ignored: no cache, no build."""
    copy = tmp_path_factory.mktemp("template") / "terrace"
    for path in [*template_files(), *template_links()]:
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TEMPLATE / path, target, follow_symlinks=False)
    return copy


def template_files() -> list[Path]:
    """Relative paths of what belongs to the template; all files where there is no git."""
    return [path for path in template_paths() if not (TEMPLATE / path).is_symlink()]


def template_links() -> list[Path]:
    """The symbolic links, each of which stands for what it names."""
    return [path for path in template_paths() if (TEMPLATE / path).is_symlink()]


def template_paths() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TEMPLATE,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        ignored = {"build", ".git", ".terraform", ".venv", "__pycache__", "node_modules"}
        found = (path for path in TEMPLATE.rglob("*") if path.is_file() or path.is_symlink())
        files = (path.relative_to(TEMPLATE) for path in found)
        return [path for path in files if not ignored & set(path.parts)]
    names = listing.stdout.decode().split("\0")
    return [Path(name) for name in names if name and os.path.lexists(TEMPLATE / name)]


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    try:
        return finder.find()
    except TerraformError as fault:
        pytest.skip(str(fault))


@pytest.fixture(scope="session")
def aws_emulator() -> Iterator[AwsEmulator]:
    """One emulator of AWS for the whole run, shared by the tests that need none of their own."""
    with AwsEmulator(plain="TERRACE_PLAIN_EMULATOR" in os.environ) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def project_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the packages of a generated project, installed as `make init` does it."""
    folder = tmp_path_factory.mktemp("project") / "venv"
    installed = subprocess.run(
        ["sh", "tools/install.sh", str(folder)],
        cwd=TEMPLATE / PROJECT_FOLDER,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stdout
    return folder / "bin" / "python"


@pytest.fixture
def bake(template: Path, tmp_path: Path) -> Callable[..., Bake]:
    """Run cookiecutter as a user does, with the answers given; without setting up unless asked."""

    def run(
        output: Path | None = None,
        *,
        source: Path = template,
        environment: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        typed: str | None = None,
        **answers: str,
    ) -> Bake:
        return run_cookiecutter(
            source,
            output or tmp_path / "out",
            answers,
            home=tmp_path,
            environment=environment,
            options=options,
            typed=typed,
        )

    return run


def run_cookiecutter(
    source: Path,
    output: Path,
    answers: dict[str, str],
    *,
    home: Path,
    environment: dict[str, str] | None = None,
    options: tuple[str, ...] = (),
    typed: str | None = None,
) -> Bake:
    """`typed` is what a person enters at the prompts; None takes the answers and the defaults instead."""
    output.mkdir(parents=True, exist_ok=True)
    given = [f"{name}={value}" for name, value in ({"bootstrap": "no"} | answers).items()]
    prompting = ["--no-input"] if typed is None else []
    configuration = home / "cookiecutter.yaml"
    configuration.write_text(f'cookiecutters_dir: "{home}/templates"\nreplay_dir: "{home}/replay"\n')
    finished = subprocess.run(
        [
            sys.executable, "-m", "cookiecutter", *prompting, "--config-file", str(configuration),
            "--output-dir", str(output), *options, str(source), *given,
        ],
        # cookiecutter leaves its rendered hooks in the temporary folder.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(home), **(environment or {})},
        cwd=home,
        input=typed or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    return Bake(finished.returncode, finished.stdout, output)
