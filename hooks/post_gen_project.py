"""Sets the new project up. Once files stand it never fails: what is missing is named, one command resumes.

Standard library only; the work itself is the project's own `make init`, so that there is one way to do it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

BOOTSTRAP = {{ cookiecutter.bootstrap | jsonify }} == "yes"
# cruft renders updates into temporary folders and leaves this undefined; no server may start there.
IS_TEMPORARY = {{ cookiecutter._repo_dir | default("") | jsonify }} == ""
PROJECT = Path.cwd()
ENTER = f"cd {shlex.quote(str(PROJECT))}"


MODULES = PROJECT / "terraform" / "modules"
# Where the template lies; a relative path is one of the folder cookiecutter was called in.
TEMPLATE = Path(os.environ.get("PWD", os.curdir), {{ cookiecutter._repo_dir | default("") | jsonify }})


def repair_modules():
    """The template links its modules; an archive turns the link into a text. Returns why it could not, or None."""
    if MODULES.is_dir() and not MODULES.is_symlink():
        return None
    source = TEMPLATE / "terraform" / "modules"
    if IS_TEMPORARY or not source.is_dir():
        return "terraform/modules is missing; copy it from the template"
    MODULES.unlink(missing_ok=True)
    shutil.copytree(source, MODULES)
    return None


def child_environment():
    """Ours, without what would send the child into cookiecutter's own Python."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }


def say(text):
    print(text, file=sys.stderr, flush=True)


def set_up():
    """Run `make init`. Returns why it could not be done, or None."""
    if shutil.which("make") is None:
        return "`make` is not installed"
    try:
        code = subprocess.call(
            ["make", "--no-print-directory", "init"], cwd=PROJECT, env=child_environment(), stdin=subprocess.DEVNULL
        )
    except KeyboardInterrupt:
        return "it was interrupted"
    return None if code == 0 else "the step above could not be done"


def main():
    started = time.monotonic()
    say(f"\n{PROJECT.name}: the files are written.")
    missing = repair_modules()
    if missing:
        say(f"But {missing}.")
    if not BOOTSTRAP or IS_TEMPORARY:
        say(f"Nothing was set up. When you want to:\n\n    {ENTER} && make init\n")
        return
    # The last thing that a set-up writes: with less, it was interrupted and is resumed.
    if (PROJECT / ".local" / "first-tenant.json").exists():
        say("It was set up before: its data, keys and credentials were not touched. Files of the template were")
        say(f"written anew, over any changes of yours; `git diff` shows them.\n\n    {ENTER} && make dev\n")
        return
    fault = set_up()
    if fault:
        say(f"\nThe project stands, but {fault}. To resume:\n\n    {ENTER} && make init\n")
        return
    say(f"\nReady in {time.monotonic() - started:.0f} s.\n\n    {ENTER} && make dev\n")


main()
