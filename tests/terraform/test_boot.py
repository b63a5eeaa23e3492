"""The first boot of Timescale's instance, with stand-ins for what it calls: this machine is not touched."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import TEMPLATE
from tests.terraform.roots import blocks

BOOT = TEMPLATE / "terraform/modules/timescale/boot.sh"
SETTINGS = {"REGION": "eu-west-1", "POSTGRESQL_MAJOR": "18", "SSM_AGENT_VERSION": "latest"}
# Only these are the machine's own; a command that is neither here nor a stand-in is not found.
HARMLESS = ("cat", "grep", "seq")
STEPS = [
    "install_basics", "install_database", "attach_volume", "mount_volume", "start_server", "create_login",
    "publish_address", "watch_server", "install_agent",
]  # fmt: skip


def boot(folder: Path, script: str, **stand_ins: str) -> tuple[int, list[str]]:
    """The exit code, and each call of a stand-in; a stand-in is the shell that it runs."""
    calls = folder / "calls"
    calls.touch()
    for name in HARMLESS:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, body in stand_ins.items():
        command = folder / name.replace("_", "-")
        command.write_text(f'#!/bin/sh\necho "{command.name} $*" >>{calls}\n{body}\n')
        command.chmod(0o755)
    finished = subprocess.run(
        [shutil.which("bash") or "bash", "-c", f'source "$1"\n{script}', "bash", str(BOOT)],
        env={"PATH": str(folder), **SETTINGS},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return finished.returncode, calls.read_text().splitlines()


def test_a_boot_without_a_network_is_tried_again_and_then_switched_off(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("sed", "sleep", "systemctl"), "")
    failing = dict.fromkeys(("dpkg_query", "apt_get", "aws", "dpkg"), "exit 1")
    code, calls = boot(
        tmp_path,
        "main",
        # What the instance knows of itself it asks nobody else.
        curl='case "$*" in *169.254.169.254*) echo i-1 ;; *) exit 6 ;; esac',
        **nothing,
        **failing,
    )
    assert code != 0
    assert calls.count("apt-get -q update") == 5
    assert calls[-2:] == ["sleep 600", "systemctl poweroff"]


def test_a_boot_that_learns_nothing_of_itself_is_switched_off(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("sleep", "systemctl"), "")
    _, calls = boot(tmp_path, "main", curl="exit 7", dpkg="exit 1", dpkg_query="exit 1", **nothing)
    assert calls[-1] == "systemctl poweroff"


def test_the_database_serves_without_the_agent_that_comes_last(tmp_path: Path) -> None:
    steps = "\n".join(f'{step}() {{ echo {step} >>"${{PATH}}/calls"; }}' for step in STEPS[:-1])
    script = (
        f"metadata() {{ echo i-1; }}\n{steps}\n"
        'eval "real_$(declare -f install_agent)"\n'
        'install_agent() { echo install_agent >>"${PATH}/calls"; real_install_agent; }\nmain'
    )
    code, calls = boot(
        tmp_path, script, curl="exit 22", dpkg="echo arm64", dpkg_query="exit 1", sleep="", systemctl=""
    )
    assert code == 0
    assert [call for call in calls if call in STEPS] == STEPS
    assert "systemctl poweroff" not in calls
    assert len([call for call in calls if "amazon-ssm-agent.deb" in call]) == 5


def test_the_server_ends_before_its_volume_and_backups_do() -> None:
    """So that the last snapshot is of a server that has stopped. No plan shows an order."""
    (group,) = [
        body["this"] for name, body in blocks(BOOT.parent, "resource") if name == "aws_autoscaling_group"
    ]
    assert {"${aws_ebs_volume.this}", "${aws_backup_selection.this}"} <= set(group["depends_on"])
