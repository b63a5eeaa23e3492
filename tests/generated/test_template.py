"""The template's own targets, from a folder whose name no shell likes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generated.test_setup import make


@pytest.fixture
def awkward(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the template in a folder with a space and an apostrophe; whatever it started is stopped."""
    copy = tmp_path / "Ada's projects" / "terrace"
    shutil.copytree(template, copy, symlinks=True)
    yield copy
    project = copy / "build" / "demo" / "acme-platform"
    if (project / ".venv").exists():
        make(project, "reset", "YES=1")


def test_every_target_works_in_a_path_with_a_space_and_an_apostrophe(awkward: Path) -> None:
    """And a folder that has the first half of the name is none of its business."""
    bystander = awkward.parents[1] / "Ada's" / "thesis.txt"
    bystander.parent.mkdir()
    bystander.write_text("years of work")
    shown = make(awkward, "demo")
    assert "Logged in as" in shown
    assert "the same id is 404" in shown
    assert f"cd '{awkward.parents[1]}/Ada'\"'\"'s projects" in shown
    assert "stopped: API" in make(awkward, "demo-down")
    make(awkward, "lint")
    # What cookiecutter rendered for itself lay in the folder too, and is gone.
    assert not list((awkward / "build" / "demo").glob("tmp*"))
    assert "deleted .local" in make(awkward, "clean")
    assert not (awkward / "build").exists()
    assert bystander.read_text() == "years of work"
