"""Every setting of the service in one frozen class, read once at start."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from app.core.context import DEFAULT_PLACEMENT
from app.core.web_names import checked_host, checked_origin, listed

ENV_FILES = ("project.env", ".env")
DEV_ENV_FILES = ("project.env", ".local/runtime.env", ".env")
PLACEHOLDERS = ("change-me", "changeme", "replace-me", "placeholder", "<")
# A secret that holds nothing but these, digits and punctuation was guessed before it was set.
WEAK_SECRET = re.compile(
    r"(?:admin|changeit|default|dev|example|letmein|pass|password|postgres|postgresql|qwerty|redis|root|secret"
    r"|test|app|runtime|owner|user|[\W\d_])*",
    re.IGNORECASE,
)
MIN_SECRET_BYTES = 32
CURRENT_KEY = "current.pem"
MAX_ACCESS_TOKEN_SECONDS = 3600
PLACEMENT_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,39}")


class SettingsError(Exception):
    """The configuration is not usable; the message names each variable and what it needs."""


class Environment(StrEnum):
    DEV = "dev"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


TokenName = Annotated[str, Field(pattern=r"^\S+$")]
# Written with commas between them, rather than as JSON.
Hosts = Annotated[tuple[Annotated[str, AfterValidator(checked_host)], ...], NoDecode, BeforeValidator(listed)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(checked_origin)], ...], NoDecode, BeforeValidator(listed)
]


class PlacementSettings(BaseModel):
    """A further database for tenants. Without `migration_database_url` this process can only serve it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr
    migration_database_url: SecretStr | None = None

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return postgresql_url(value)


class Pooler(StrEnum):
    """What stands between the service and PostgreSQL. `pgbouncer` means its transaction mode."""

    NONE = "none"
    PGBOUNCER = "pgbouncer"


class _Stage(BaseSettings):
    """Where we are, which decides what else is read."""

    model_config = SettingsConfigDict(
        env_prefix="APP_", env_file=ENV_FILES, extra="ignore", hide_input_in_errors=True
    )

    environment: Environment = Environment.DEV


class Settings(BaseSettings):
    """Read from the environment (prefix `APP_`), then `.env`, `.local/runtime.env` (dev only), `project.env`.

    What differs by environment has no default: a missing value stops the boot instead of guessing.
    """

    model_config = SettingsConfigDict(
        env_prefix="APP_", env_file=ENV_FILES, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    environment: Environment
    database_url: SecretStr
    redis_url: SecretStr
    secret_key: SecretStr
    # Exactly one of the two: a folder, or its files by name as JSON, for where a secret is a variable.
    jwt_keys_dir: Path | None = None
    jwt_keys: SecretStr | None = None

    migration_database_url: SecretStr | None = None
    placements: dict[str, PlacementSettings] = Field(default_factory=dict)
    project_name: str = "app"
    version: str = "0.1.0"

    jwt_issuer: TokenName = "app"
    jwt_audience: TokenName = "app-api"
    operator_audience: TokenName = "app-operators"
    access_token_ttl_seconds: Annotated[int, Field(ge=60, le=MAX_ACCESS_TOKEN_SECONDS)] = 900
    operator_token_ttl_seconds: Annotated[int, Field(ge=60, le=900)] = 900
    refresh_token_ttl_seconds: Annotated[int, Field(ge=3600, le=90 * 86400)] = 30 * 86400
    session_idle_seconds: Annotated[int, Field(ge=3600, le=90 * 86400)] = 14 * 86400
    bcrypt_rounds: Annotated[int, Field(ge=4, le=16)] = 12
    api_key_bcrypt_rounds: Annotated[int, Field(ge=4, le=16)] = 10
    password_workers: Annotated[int, Field(ge=1, le=64)] = 4
    api_key_prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,11}$")] = "app"

    first_tenant_name: str | None = None
    first_tenant_admin_email: str | None = None
    first_tenant_admin_password: SecretStr | None = None

    sign_up_enabled: bool = False
    tenant_deletion_grace_days: Annotated[int, Field(ge=0, le=365)] = 30

    database_pooler: Pooler = Pooler.NONE
    database_pool_size: Annotated[int, Field(ge=1, le=500)] = 16
    database_pool_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    dedicated_pool_size: Annotated[int, Field(ge=1, le=100)] = 4
    dedicated_max_connections: Annotated[int, Field(ge=1, le=500)] = 16
    dedicated_idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    owner_pool_size: Annotated[int, Field(ge=1, le=100)] = 4
    statement_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 15

    # The names that the service is reached by; in development none means any.
    allowed_hosts: Hosts = ()
    # The web pages that may call it from a browser.
    cors_origins: Origins = ()
    max_body_bytes: Annotated[int, Field(ge=1024, le=100 * 1024 * 1024)] = 1024 * 1024
    rate_limit_outage_mode: Literal["local", "open", "closed"] = "local"
    trusted_proxy_count: Annotated[int, Field(ge=0, le=10)] = 0

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return postgresql_url(value)

    @field_validator("placements")
    @classmethod
    def _are_named(cls, value: dict[str, PlacementSettings]) -> dict[str, PlacementSettings]:
        for name in value:
            if not PLACEMENT_PATTERN.fullmatch(name) or name == DEFAULT_PLACEMENT:
                raise ValueError(
                    "names must be 1 to 40 lower-case letters, digits and hyphens, beginning with a letter,"
                    " other than `default`, which is APP_DATABASE_URL"
                )
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must be a redis:// or rediss:// URL")
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must hold at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
        return value

    @field_validator("jwt_keys")
    @classmethod
    def _are_files_by_name(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            key_files(value)
        return value

    @model_validator(mode="after")
    def _have_keys_from_one_place(self) -> Self:
        if (self.jwt_keys_dir is None) == (self.jwt_keys is None):
            raise ValueError("give exactly one of APP_JWT_KEYS_DIR and APP_JWT_KEYS")
        return self

    @model_validator(mode="after")
    def _keep_audiences_apart(self) -> Self:
        if self.operator_audience == self.jwt_audience:
            raise ValueError("APP_OPERATOR_AUDIENCE must differ from APP_JWT_AUDIENCE")
        return self

    @model_validator(mode="after")
    def _refuse_unsafe_outside_dev(self) -> Self:
        if self.environment in {Environment.DEV, Environment.TEST}:
            return self
        names = ["secret_key", "database_url", "migration_database_url", "redis_url"]
        names.append("first_tenant_admin_password")
        secrets = [(f"APP_{name.upper()}", getattr(self, name)) for name in names]
        for name, place in self.placements.items():
            variable = f"APP_PLACEMENTS: {name}"
            secrets += [(variable, place.database_url), (variable, place.migration_database_url)]
        faults = [f"{name} {fault}" for name, value in secrets if (fault := secret_fault(value))]
        if not self.allowed_hosts:
            faults.append("APP_ALLOWED_HOSTS is missing: the names the service is reached by, with commas")
        if self.bcrypt_rounds < 12:
            faults.append("APP_BCRYPT_ROUNDS must be at least 12 outside dev")
        if self.api_key_bcrypt_rounds < 10:
            faults.append("APP_API_KEY_BCRYPT_ROUNDS must be at least 10 outside dev")
        if self.jwt_keys_dir is not None and not (self.jwt_keys_dir / CURRENT_KEY).is_file():
            faults.append(f"APP_JWT_KEYS_DIR: no {CURRENT_KEY} in {self.jwt_keys_dir}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _can_do_what_it_enables(self) -> Self:
        if self.sign_up_enabled and self.migration_database_url is None:
            raise ValueError(
                "APP_SIGN_UP_ENABLED needs APP_MIGRATION_DATABASE_URL: a sign-up makes a schema and a role"
            )
        return self

    @property
    def runtime_urls(self) -> dict[str, str]:
        """The database URL of each placement, for the login that serves requests."""
        urls = {name: place.database_url.get_secret_value() for name, place in self.placements.items()}
        return {DEFAULT_PLACEMENT: self.database_url.get_secret_value(), **urls}

    @property
    def owner_urls(self) -> dict[str, str]:
        """The database URL of each placement, for the login that owns it, where this process has it."""
        urls = {DEFAULT_PLACEMENT: self.migration_database_url} | {
            name: place.migration_database_url for name, place in self.placements.items()
        }
        return {name: url.get_secret_value() for name, url in urls.items() if url is not None}

    @property
    def is_production_like(self) -> bool:
        return self.environment in {Environment.STAGING, Environment.PRODUCTION}


def postgresql_url(value: SecretStr | None) -> SecretStr | None:
    """Raises ValueError for any other scheme."""
    if value is not None and urlsplit(value.get_secret_value()).scheme not in {"postgresql", "postgres"}:
        raise ValueError("must be a postgresql:// URL")
    return value


def key_files(value: SecretStr) -> dict[str, str]:
    """The contents of PEM files by their names. Raises ValueError, which repeats none of them."""
    try:
        files = json.loads(value.get_secret_value())
    except ValueError:
        files = None
    if not isinstance(files, dict) or not all(isinstance(content, str) for content in files.values()):
        raise ValueError("must be JSON with the contents of PEM files by their names") from None
    if CURRENT_KEY not in files:
        raise ValueError(f"holds no {CURRENT_KEY}")
    return files


def secret_fault(value: SecretStr | None) -> str | None:
    """What is wrong with a secret, or with the password of a URL. One without a password is no fault of the
    secret: the server may know its clients by other means."""
    if value is None:
        return None
    text = value.get_secret_value()
    if any(marker in text.lower() for marker in PLACEHOLDERS):
        return "still holds a placeholder"
    secret = unquote(urlsplit(text).password or "") if "://" in text else text
    # A text that repeats itself is found again in its double before its end.
    repeats = (secret * 2).find(secret, 1) < len(secret)
    if secret and (len(set(secret)) < 8 or repeats or WEAK_SECRET.fullmatch(secret)):
        return "holds a weak secret; `openssl rand -hex 32` makes a strong one"
    return None


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises SettingsError naming each faulty variable, never its value.

    `.local/runtime.env` holds secrets of development, which nothing else may take for its own.
    """
    try:
        stage = _Stage(**{name: overrides[name] for name in ("environment",) if name in overrides})
        is_dev = stage.environment is Environment.DEV
        return Settings(_env_file=DEV_ENV_FILES if is_dev else ENV_FILES, **overrides)
    except UnreadableSetting as error:
        # A variable that must hold JSON (APP_PLACEMENTS) and does not; the message names the field only.
        raise SettingsError(f"The configuration is not usable:\n  {error}") from None
    except ValidationError as error:
        faults = "\n".join(
            f"  {_variable(fault['loc'])}: {_reason(fault['type'], fault['msg'])}"
            for fault in error.errors(include_input=False, include_context=False)
        )
        raise SettingsError(
            f"The configuration is not usable:\n{faults}\n"
            "`make init` writes a working one for development; docs are in .env.example."
        ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return ".".join((f"APP_{str(location[0]).upper()}", *map(str, location[1:]))) if location else "settings"


def _reason(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message.removeprefix("Value error, ")
