"""The boot refuses what is missing or unsafe, and names the variable."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.core.settings import Settings, SettingsError, load_settings

GOOD: dict[str, Any] = {
    "environment": "production",
    "database_url": "postgresql://app_runtime:kD93mfQpz1xT@db.internal/app",
    "redis_url": "rediss://:pq8Zk2mW0sLd@cache.internal:6379/0",
    "secret_key": "5f0c1e9b7a3d48c6925e1f7b0a6c3d8e",
    "allowed_hosts": "api.example.com",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"APP_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def with_keys(directory: Path) -> dict[str, Any]:
    (directory / "current.pem").write_text("a key")
    return {**GOOD, "jwt_keys_dir": directory}


def test_complete_production_settings_are_accepted(tmp_path: Path) -> None:
    assert load_settings(**with_keys(tmp_path)).is_production_like


@pytest.mark.parametrize("name", ["environment", "database_url", "redis_url", "secret_key"])
def test_what_differs_by_environment_has_no_default(tmp_path: Path, name: str) -> None:
    values = with_keys(tmp_path)
    del values[name]
    with pytest.raises(SettingsError, match=f"APP_{name.upper()}: is missing"):
        load_settings(**values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", "change-me-change-me-change-me-change-me"),
        ("database_url", "postgresql://app_runtime:change-me@db/app"),
        ("redis_url", "redis://:<password>@cache:6379/0"),
    ],
)
def test_placeholders_are_refused_outside_dev(tmp_path: Path, name: str, value: str) -> None:
    values = {**with_keys(tmp_path), name: value}
    with pytest.raises(SettingsError, match=f"APP_{name.upper()} still holds a placeholder"):
        load_settings(**values)
    assert load_settings(**{**values, "environment": "dev"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", "x" * 40),
        ("secret_key", "abcdefgh" * 5),
        ("secret_key", "password-postgres-secret-1234567890"),
        ("database_url", "postgresql://app_runtime:password@db/app"),
        ("database_url", "postgresql://app_runtime:postgres@db/app"),
        ("database_url", "postgresql://app_runtime:app_runtime@db/app"),
        ("migration_database_url", "postgresql://app_owner:changeit-2024!@db/app"),
        ("redis_url", "redis://:P%61ssword1234@cache:6379/0"),
        ("redis_url", "redis://:98127364@cache:6379/0"),
        ("placements", {"eu": {"database_url": "postgresql://app_runtime:letmein@db/app"}}),
    ],
)
def test_weak_secrets_are_refused_outside_dev_and_never_repeated(
    tmp_path: Path, name: str, value: object
) -> None:
    values = {**with_keys(tmp_path), name: value}
    with pytest.raises(SettingsError, match=rf"APP_{name.upper()}.* holds a weak secret") as refusal:
        load_settings(**values)
    assert str(value) not in str(refusal.value)
    assert load_settings(**{**values, "environment": "dev"})


@pytest.mark.parametrize("url", ["postgresql://app_runtime@db/app", "postgresql://db/app?host=/run"])
def test_a_database_that_knows_its_clients_by_other_means_needs_no_password(tmp_path: Path, url: str) -> None:
    assert load_settings(**{**with_keys(tmp_path), "database_url": url})


@pytest.mark.parametrize("name", ["jwt_issuer", "jwt_audience", "operator_audience"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_issuer_or_audience_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"APP_{name.upper()}"):
        load_settings(**{**with_keys(tmp_path), name: value})


@pytest.mark.parametrize("variable", ["APP_ENVIRONMENT", "app_environment"])
def test_only_development_takes_the_secrets_of_development(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (tmp_path / ".local").mkdir()
    lines = [f"APP_{name.upper()}={value}" for name, value in with_keys(tmp_path).items()]
    (tmp_path / ".local/runtime.env").write_text("\n".join([*lines, "APP_ENVIRONMENT=dev"]))
    assert load_settings().environment == "dev"
    for environment in ("production", "staging", "test"):
        monkeypatch.setenv(variable, environment)
        with pytest.raises(SettingsError, match="APP_SECRET_KEY: is missing"):
            load_settings()
    monkeypatch.delenv(variable)
    (tmp_path / ".env").write_text(f"{variable}=production\n")
    with pytest.raises(SettingsError, match="APP_DATABASE_URL: is missing"):
        load_settings()


def test_the_example_file_can_be_copied_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes nothing until a line is made one's own, and names no setting that does not exist."""
    example = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
    settings = load_settings(**with_keys(tmp_path))
    (tmp_path / ".env").write_text(example)
    assert load_settings(**with_keys(tmp_path)) == settings
    named = set(re.findall(r"^# APP_([A-Z_]+)=", example, re.MULTILINE))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    for name in re.findall(r"^# (APP_\w+=\S*)$", example, re.MULTILINE):
        assert name.partition("=")[2], f"{name} shows no value"


def test_missing_keys_are_refused_outside_dev(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="APP_JWT_KEYS_DIR"):
        load_settings(**GOOD, jwt_keys_dir=tmp_path)


KEYS = '{"current.pem": "-----BEGIN PRIVATE KEY-----"}'


def test_keys_may_come_in_a_variable_instead_of_a_folder() -> None:
    settings = load_settings(**GOOD, jwt_keys=KEYS)
    assert settings.jwt_keys_dir is None
    assert "BEGIN" not in repr(settings) + settings.model_dump_json()


def test_keys_come_from_exactly_one_place(tmp_path: Path) -> None:
    for values in (GOOD, {**with_keys(tmp_path), "jwt_keys": KEYS}):
        with pytest.raises(SettingsError, match="exactly one of APP_JWT_KEYS_DIR and APP_JWT_KEYS"):
            load_settings(**values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zebra",
        "[]",
        '"zebra"',
        "null",
        '{"current.pem": 7}',
        '{"current.pem": {"zebra": 1}}',
        '{"next.pem": ""}',
    ],
)
@pytest.mark.parametrize("environment", ["dev", "production"])
def test_malformed_keys_are_refused_and_never_repeated(text: str, environment: str) -> None:
    with pytest.raises(SettingsError, match=r"APP_JWT_KEYS: (must be JSON|holds no current\.pem)") as refusal:
        load_settings(**{**GOOD, "jwt_keys": text, "environment": environment})
    assert "zebra" not in str(refusal.value)


@pytest.mark.parametrize("name", ["bcrypt_rounds", "api_key_bcrypt_rounds"])
def test_cheap_hashes_are_refused_outside_dev(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"APP_{name.upper()}"):
        load_settings(**with_keys(tmp_path), **{name: 4})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("environment", "prod"),
        ("database_url", "mysql://localhost/app"),
        ("redis_url", "http://localhost"),
        ("secret_key", "short"),
        ("access_token_ttl_seconds", 86400),
        ("port", 0),
        ("api_key_prefix", "Has Spaces"),
    ],
)
def test_a_wrong_value_is_named_and_never_repeated(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"APP_{name.upper()}") as refusal:
        load_settings(**{**with_keys(tmp_path), name: value})
    if isinstance(value, str) and name == "secret_key":
        assert "short" not in str(refusal.value)


def test_secrets_do_not_show_in_the_representation(tmp_path: Path) -> None:
    shown = repr(load_settings(**with_keys(tmp_path)))
    for secret in ("kD93mfQpz1xT", "pq8Zk2mW0sLd", GOOD["secret_key"]):
        assert secret not in shown


def test_later_files_win_and_the_environment_wins_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / "project.env").write_text("APP_PROJECT_NAME=one\nAPP_PORT=1001\nAPP_HOST=h1\n")
    (tmp_path / ".local/runtime.env").write_text("APP_PROJECT_NAME=two\nAPP_PORT=1002\n")
    monkeypatch.setenv("APP_PROJECT_NAME", "three")
    settings = load_settings(**with_keys(tmp_path) | {"environment": "dev"})
    assert (settings.project_name, settings.port, settings.host) == ("three", 1002, "h1")


def test_a_sign_up_needs_the_login_that_makes_schemas(tmp_path: Path) -> None:
    given = with_keys(tmp_path) | {"sign_up_enabled": True, "migration_database_url": None}
    with pytest.raises(SettingsError, match="APP_SIGN_UP_ENABLED needs APP_MIGRATION_DATABASE_URL"):
        load_settings(**given)


@pytest.mark.parametrize(
    ("placements", "complaint"),
    [
        ("not json", "placements"),
        ('{"Bad Name": {"database_url": "postgresql://a:b@h/d"}}', "lower-case letters"),
        ('{"default": {"database_url": "postgresql://a:b@h/d"}}', "APP_DATABASE_URL"),
        ('{"eu": {"database_url": "mysql://a:s3cretpart@h/d"}}', "postgresql://"),
        ('{"eu": {"database_url": "postgresql://a:b@h/d", "typo": 1}}', "typo"),
    ],
)
def test_bad_placements_are_named_and_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placements: str, complaint: str
) -> None:
    monkeypatch.setenv("APP_PLACEMENTS", placements)
    with pytest.raises(SettingsError) as refusal:
        load_settings(**with_keys(tmp_path))
    assert complaint in str(refusal.value)
    assert "s3cretpart" not in str(refusal.value)
