"""Finds Terraform and where its AWS provider comes from, so that the same commands work on any machine.

The provider's source is the first of these: the CLI configuration that is set or in the home folder; a mirror
folder that holds the provider (`TF_PLUGIN_DIR`, those that Terraform's documentation names, or one that an
administrator put under /opt or /usr/local/share); Terraform's default, its registry. Standard library.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BUILD = Path(__file__).resolve().parents[1] / "build"
OLDEST = (1, 11)
HOW_TO_INSTALL = "install Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install"
PROVIDER = "hashicorp/aws"
# As in versions.tf of the modules.
OLDEST_PROVIDER, BEFORE_PROVIDER = (5, 100), (7, 0)
SHARED = (Path("/opt"), Path("/usr/local/share"))


class TerraformError(Exception):
    """There is no usable Terraform; the text says what to install or correct."""


@dataclass(frozen=True)
class Terraform:
    """`variables` is what its commands need beside the environment that they are given."""

    binary: str
    variables: Mapping[str, str]

    def run(
        self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Both outputs in one, without colours; the caller looks at the exit code."""
        return subprocess.run(
            [self.binary, *arguments],
            cwd=root,
            env={**outside_variables(os.environ if environment is None else environment), **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def initialise(
        self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`terraform init`, one at a time: Terraform's provider cache bears no more."""
        cache = Path(self.variables["TF_PLUGIN_CACHE_DIR"])
        with (cache.parent / f"{cache.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self.run(root, "init", "-input=false", "-no-color", *arguments, environment=environment)


def find(environ: Mapping[str, str] = os.environ, *, build: Path = BUILD) -> Terraform:
    """Raises TerraformError."""
    binary = shutil.which("terraform", path=environ.get("PATH"))
    if binary is None:
        raise TerraformError(f"terraform is not on PATH; {HOW_TO_INSTALL}")
    platform = platform_of(binary, environ)
    cache = Path(environ.get("TF_PLUGIN_CACHE_DIR") or build / "cache" / "terraform-providers")
    cache.mkdir(parents=True, exist_ok=True)
    variables = {
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "TF_PLUGIN_CACHE_DIR": str(cache),
        # Our copies have no lock file; without this every init would fetch the provider again.
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    }
    configuration = configured(environ)
    if configuration is None and (mirror := find_mirror(environ, platform)) is not None:
        configuration = build / "terraform" / "mirror.tfrc"
        write_configuration(configuration, mirror)
    if configuration is not None:
        variables["TF_CLI_CONFIG_FILE"] = str(configuration)
    return Terraform(binary, variables)


def platform_of(binary: str, environ: Mapping[str, str]) -> str:
    """Such as linux_amd64. Raises TerraformError when it is too old."""
    finished = subprocess.run(
        [binary, "version", "-json"],
        env={**outside_variables(environ), "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(finished.stdout)
        version, platform = str(answer["terraform_version"]), str(answer["platform"])
    except (ValueError, KeyError) as fault:
        raise TerraformError(f"{binary} tells no version; {HOW_TO_INSTALL}") from fault
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise TerraformError(f"{binary} is version {version}; {HOW_TO_INSTALL}")
    return platform


def outside_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Without those that would change what a command does, a configuration that is not there among them."""
    dropped = {"TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG", "TF_DATA_DIR", "TF_WORKSPACE", "TF_LOG"}
    return {
        name: value
        for name, value in environ.items()
        if name not in dropped and not name.startswith(("TF_CLI_ARGS", "TF_VAR_"))
    }


def configured(environ: Mapping[str, str]) -> Path | None:
    """The CLI configuration that the person chose, if it can be read."""
    named = environ.get("TF_CLI_CONFIG_FILE") or environ.get("TERRAFORM_CONFIG")
    candidates = [Path(named)] if named else []
    candidates.append(home(environ) / ".terraformrc")
    return next((path for path in candidates if path.is_file() and os.access(path, os.R_OK)), None)


def home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path("~").expanduser())


def find_mirror(environ: Mapping[str, str], platform: str) -> Path | None:
    """Raises TerraformError when the folder that TF_PLUGIN_DIR names does not hold the provider."""
    named = environ.get("TF_PLUGIN_DIR")
    if named:
        if not holds_provider(Path(named), platform):
            raise TerraformError(
                f"TF_PLUGIN_DIR={named} holds no {PROVIDER} for {platform}; see `terraform providers mirror`"
            )
        return Path(named)
    return next((folder for folder in mirror_folders(environ) if holds_provider(folder, platform)), None)


def mirror_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """The implied mirrors of Terraform's page on its CLI configuration file, then the shared ones."""
    data = [environ.get("XDG_DATA_HOME") or str(home(environ) / ".local/share")]
    data += (environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    yield home(environ) / ".terraform.d/plugins"
    yield home(environ) / "Library/Application Support/io.terraform/plugins"
    yield from (Path(folder) / "terraform/plugins" for folder in data)
    for folder in SHARED:
        yield from sorted(path for path in folder.glob("*") if path.is_dir())


def holds_provider(folder: Path, platform: str) -> bool:
    """A version that the modules accept, unpacked or packed. The folder on top is named for a host."""
    try:
        found = [path.parent.name for path in folder.glob(f"*/{PROVIDER}/*/{platform}")]
        found += [path.name for path in folder.glob(f"*/{PROVIDER}/*_{platform}.zip")]
    except OSError:
        return False
    numbers = (re.search(r"(\d+)\.(\d+)\.\d+", name) for name in found)
    return any(OLDEST_PROVIDER <= (int(m[1]), int(m[2])) < BEFORE_PROVIDER for m in numbers if m)


def write_configuration(path: Path, mirror: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"""\
provider_installation {{
  filesystem_mirror {{
    path    = {json.dumps(str(mirror))}
    include = ["{PROVIDER}"]
  }}
  direct {{
    exclude = ["{PROVIDER}"]
  }}
}}
""")
