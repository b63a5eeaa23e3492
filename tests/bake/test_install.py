"""The installer of both halves: what it refuses to touch, and what it does without uv's help.

The package that is installed is made here, so no network is needed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT_FOLDER, TEMPLATE

INSTALL = TEMPLATE / PROJECT_FOLDER / "tools" / "install.sh"
NOWHERE = "http://127.0.0.1:9/simple"
NOBODY = 65534


def start(
    folder: Path, *arguments: str, user: int | None = None, **environment: str
) -> subprocess.Popen[str]:
    """Run the installer in a folder."""
    return subprocess.Popen(
        ["sh", str(INSTALL), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHON": "", "UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
    )


def install(
    folder: Path, *arguments: str, user: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    with start(folder, *arguments, user=user, **environment) as process:
        output, _ = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, output)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one wheel, and beside it the lock that names it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("sample.py", "")
        information = "sample-1.0.dist-info"
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "lock.txt").write_text(f"sample==1.0 --hash=sha256:{digest}\n")
    return folder


def has_sample(environment: Path) -> bool:
    command = [str(environment / "bin" / "python"), "-c", "import sample"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_folder_that_is_no_environment_is_never_cleared(tmp_path: Path) -> None:
    """Not even when a path with a space was cut in two on its way here."""
    thesis = tmp_path / "my" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    for arguments in (["my"], ["my", "projects/.venv", "lock.txt"]):
        finished = install(tmp_path, *arguments)
        assert finished.returncode == 1
    assert "my is in the way" in install(tmp_path, "my").stdout
    assert thesis.read_text() == "years of work"


def test_a_python_that_was_named_is_used_or_refused(tmp_path: Path) -> None:
    finished = install(tmp_path, PYTHON="/nope")
    assert finished.returncode == 1
    assert "error: PYTHON=/nope is no Python 3.11 or newer" in finished.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder that anybody may enter and only root, or nobody at all, may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_of_somebody_else_is_named_as_the_cause(unwritable: Path) -> None:
    finished = install(unwritable, user=NOBODY if os.geteuid() == 0 else None)
    assert finished.returncode == 1
    assert ".venv cannot be written by" in finished.stdout
    assert str(unwritable) in finished.stdout


def test_pip_helps_out_when_uv_finds_no_way(tmp_path: Path, wheels: Path) -> None:
    """As where a mirror or a certificate is in pip's configuration, which uv does not read."""
    finished = install(
        tmp_path, ".venv", "lock.txt",
        UV_DEFAULT_INDEX=NOWHERE, UV_CACHE_DIR=str(tmp_path / "uv"),
        PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "uv could not; trying pip" in finished.stdout
    assert has_sample(tmp_path / ".venv")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, wheels: Path) -> None:
    finished = install(
        tmp_path, ".venv", "lock.txt",
        UV_CACHE_DIR="/dev/null/uv", UV_NO_INDEX="1", UV_FIND_LINKS=str(wheels),
        PIP_INDEX_URL=NOWHERE, PIP_FIND_LINKS="",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "trying pip" not in finished.stdout
    assert has_sample(tmp_path / ".venv")


def test_a_second_installation_waits_for_the_first_and_says_so(tmp_path: Path, wheels: Path) -> None:
    with (tmp_path / "lock.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = start(
            tmp_path, ".venv", "lock.txt", UV_NO_INDEX="1", UV_FIND_LINKS=str(wheels), UV_NO_CACHE="1"
        )
        assert second.stdout is not None
        assert "waiting" in second.stdout.readline()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    assert has_sample(tmp_path / ".venv")
