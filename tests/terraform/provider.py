"""One process of the AWS provider for all tests of modules, each run of which would else start its own.

It serves as it does under a debugger (`-debug`): so Terraform can be told of a provider that runs already.
Only for commands that talk to no AWS, since a provider has one configuration.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.terraform import Terraform

# It ends with us, even when we are killed: then the input of `cat` does.
UNTIL_INPUT_ENDS = '"$0" -debug & cat >/dev/null; kill $!; wait'
TOLD = re.compile(r"TF_REATTACH_PROVIDERS='(\{.*\})'")


@contextmanager
def shared_provider(terraform: Terraform, versions: Path, folder: Path) -> Iterator[dict[str, str]]:
    """What to add to the environment of a command. `versions` names the provider; `folder` is ours to use."""
    folder.mkdir()
    shutil.copy(versions, folder)
    finished = terraform.initialise(folder, "-backend=false")
    assert finished.returncode == 0, finished.stdout
    (binary,) = (folder / ".terraform/providers").glob("*/hashicorp/aws/*/*/terraform-provider-aws*")
    process = subprocess.Popen(
        ["sh", "-c", UNTIL_INPUT_ENDS, str(binary)],
        env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        found = next(filter(None, map(TOLD.search, process.stdout)), None)
        assert found is not None, f"{binary} did not say how to reach it"
        yield {"TF_REATTACH_PROVIDERS": found[1]}
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
