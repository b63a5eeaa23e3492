"""The task definitions inject what the settings need, and nothing that the settings do not know.

The injected names are read from one plain file of the stack `service`, one a line, so that no parser of
Terraform's language and no Terraform is needed; a name of that kind anywhere else fails the test.
"""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from app.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
STACKS = ROOT / "terraform" / "stacks"
DECLARED = STACKS / "service" / "settings.tf"
NAME = re.compile(r"\bAPP_[A-Z0-9_]+\b")
MAP = re.compile(r"^  (\w+) = \{\n(.*?)^  \}$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^    (APP_\w+) += \S", re.MULTILINE)

# Read by one command from its own option, and by no process as a setting.
OPTIONS = {"APP_SUPERUSER_DATABASE_URL": "migrate provision"}
# One of the two must be given; the validator of the settings says so.
ONE_OF = ({"APP_JWT_KEYS", "APP_JWT_KEYS_DIR"},)
# Settings that have a default and are not injected, by why the default is right in a container.
NOT_INJECTED = {
    "the image carries project.env, which is the same everywhere": {
        "APP_API_KEY_PREFIX", "APP_FIRST_TENANT_ADMIN_EMAIL", "APP_FIRST_TENANT_NAME", "APP_PROJECT_NAME",
    },
    "the image sets it": {"APP_HOST"},
    "the other way to give the keys": {"APP_JWT_KEYS_DIR"},
    "audiences need differ within an environment only; its issuer tells it from others": {
        "APP_JWT_AUDIENCE", "APP_OPERATOR_AUDIENCE",
    },
    "the default is the choice for every environment; a change is an entry in settings.tf": {
        "APP_ACCESS_TOKEN_TTL_SECONDS", "APP_API_KEY_BCRYPT_ROUNDS", "APP_BCRYPT_ROUNDS",
        "APP_DATABASE_POOL_SIZE", "APP_DATABASE_POOL_TIMEOUT_SECONDS", "APP_DEDICATED_IDLE_SECONDS",
        "APP_DEDICATED_MAX_CONNECTIONS", "APP_DEDICATED_POOL_SIZE",
        "APP_LOG_FORMAT", "APP_LOG_LEVEL", "APP_MAX_BODY_BYTES", "APP_OPERATOR_TOKEN_TTL_SECONDS",
        "APP_OWNER_POOL_SIZE", "APP_PASSWORD_WORKERS", "APP_RATE_LIMIT_OUTAGE_MODE",
        "APP_REFRESH_TOKEN_TTL_SECONDS", "APP_SESSION_IDLE_SECONDS", "APP_STATEMENT_TIMEOUT_SECONDS",
        "APP_TENANT_DELETION_GRACE_DAYS", "APP_VERSION",
    },
    "the port that the stack sends requests to": {"APP_PORT"},
    "a task is one process; more of them are more tasks": {"APP_WORKERS"},
    "there is no pooler, and no further database, unless somebody adds one": {
        "APP_DATABASE_POOLER", "APP_PLACEMENTS",
    },
    "off: it would need the owner's login in a process that serves requests": {"APP_SIGN_UP_ENABLED"},
}  # fmt: skip


def injected() -> dict[str, set[str]]:
    """The names in each map of the file."""
    return {name: set(ENTRY.findall(body)) for name, body in MAP.findall(DECLARED.read_text())}


def every_name() -> set[str]:
    return set().union(*injected().values())


def all_settings() -> set[str]:
    return {f"APP_{name.upper()}" for name in Settings.model_fields}


def test_the_file_is_read_whole() -> None:
    code = "\n".join(line.partition("#")[0] for line in DECLARED.read_text().splitlines())
    assert every_name() == set(NAME.findall(code))
    assert {name for name, found in injected().items() if found} == {
        "environment", "secrets", "owner_secrets", "bootstrap_secrets", "provision_secrets",
    }  # fmt: skip


def test_names_stand_in_that_file_alone() -> None:
    others = [path for path in STACKS.rglob("*.tf") if path != DECLARED]
    assert others
    for path in others:
        code = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
        assert NAME.findall(code) == [], path


def test_every_setting_without_a_default_is_given_to_every_process() -> None:
    everywhere = injected()["environment"] | injected()["secrets"]
    required = {
        f"APP_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if field.default is PydanticUndefined and field.default_factory is None
    }
    assert required
    assert required <= everywhere
    for names in ONE_OF:
        assert len(names & everywhere) == 1


def test_every_injected_name_is_a_setting_or_an_option() -> None:
    assert every_name() - all_settings() == set(OPTIONS)
    for name, command in OPTIONS.items():
        group, _ = command.split()
        assert f'envvar="{name}"' in (ROOT / "app" / "cli" / f"{group}.py").read_text()


def test_every_setting_is_injected_or_left_out_for_a_reason() -> None:
    left_out = [name for names in NOT_INJECTED.values() for name in names]
    assert len(left_out) == len(set(left_out))
    assert set(left_out) == all_settings() - every_name()


def test_what_is_secret_comes_from_a_secret() -> None:
    maps = injected()
    secret = {
        f"APP_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert maps["environment"] & (secret | set(OPTIONS)) == set()


def test_only_those_that_make_schemas_get_the_login_that_owns_them() -> None:
    assert injected()["owner_secrets"] == {"APP_MIGRATION_DATABASE_URL"}
    lines = re.findall(r"^      (\w+) += (.*)$", DECLARED.read_text(), re.MULTILINE)
    given = {process: set(re.findall(r"local\.(\w+)", maps)) for process, maps in lines}
    assert given == {
        "api": {"secrets"},
        "bootstrap": {"secrets", "owner_secrets", "bootstrap_secrets"},
        "migrate": {"secrets", "owner_secrets"},
        "provision": {"secrets", "owner_secrets", "provision_secrets"},
    }


def test_every_secret_that_is_named_is_made() -> None:
    named = set(re.findall(r'^    APP_\w+ += "([a-z_]+)"$', DECLARED.read_text(), re.MULTILINE))
    made = set(
        re.findall(r"^      (\w+) += \"", (STACKS / "platform" / "secrets.tf").read_text(), re.MULTILINE)
    )
    assert named == made


@pytest.mark.parametrize("stack_port", [r"^ +port += (\d+)$"])
def test_requests_are_sent_to_the_port_that_is_listened_to(stack_port: str) -> None:
    ports = re.findall(stack_port, (STACKS / "service" / "services.tf").read_text(), re.MULTILINE)
    assert [int(port) for port in ports] == [Settings.model_fields["port"].default]
