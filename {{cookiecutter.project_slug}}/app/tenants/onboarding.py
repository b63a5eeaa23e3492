"""Creates a tenant: registry row, role, schema, default policies, admin, API key. All of it or nothing.

PostgreSQL's DDL is transactional, so one transaction holds every step, and a crash leaves no trace.
"""

import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access import ADMIN, create_default_policies
from app.auth import service as auth
from app.auth.passwords import PasswordHasher
from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.ids import new_id
from app.core.migrations import GOLDEN_TENANT_SCRIPT, head_revision
from app.core.provisioning import RUNTIME_ROLE
from app.tenants.errors import InvalidTenant, TenantExists
from app.tenants.models import Plan, Tenant, TenantState
from app.users import service as users

SLUG_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
GENERATED_PASSWORD_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What a new tenant is made from. Raises InvalidTenant when it cannot be."""

    name: str
    slug: str
    admin_email: str
    plan: Plan = Plan.FREE

    def __post_init__(self) -> None:
        if not SLUG_PATTERN.fullmatch(self.slug):
            raise InvalidTenant(
                "slug: 2 to 40 lower-case letters, digits and hyphens, beginning with a letter and ending"
                " with a letter or digit."
            )
        if not 1 <= len(self.name) <= 200 or not self.name.isprintable() or not self.name.strip():
            raise InvalidTenant("name: 1 to 200 printable characters.")
        try:
            # `test_environment` lets the reserved domain .test pass, which cannot receive mail anyway.
            validate_email(self.admin_email, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            raise InvalidTenant(f"admin_email: {error}") from None


@dataclass(frozen=True, slots=True)
class TenantCredentials:
    """What the first person of a tenant needs. Shown once: only hashes are stored."""

    tenant_id: UUID
    tenant: str
    email: str
    password: str
    api_key: str


def slugify(name: str) -> str:
    """A slug for a display name: `Café Zürich` becomes `cafe-zurich`; `first` when no letter survives."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    slug = re.sub(r"^[^a-z]+", "", slug)[:40].strip("-")
    return slug if SLUG_PATTERN.fullmatch(slug) else "first"


class Onboarding:
    """Creates tenants with the login that owns the database."""

    def __init__(
        self,
        migration_database_url: str,
        *,
        hasher: PasswordHasher,
        key_hasher: PasswordHasher,
        api_key_prefix: str,
        live: bool,
    ) -> None:
        self._url = migration_database_url
        self._hasher = hasher
        self._key_hasher = key_hasher
        self._brand = api_key_prefix
        self._live = live

    async def create(
        self, new: NewTenant, *, save: Callable[[TenantCredentials], None] | None = None
    ) -> TenantCredentials:
        """Create an active tenant with its admin and an API key. Raises TenantExists.

        `save` gets the credentials before the commit, so they are never lost: when it raises, there is no
        tenant.
        """
        await self._refuse_taken(new.slug)
        tenant_id, key_id = new_id(), new_id()
        password = secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
        key = auth.new_api_key(self._brand, live=self._live, tenant_id=tenant_id, key_id=key_id)
        password_hash = await self._hasher.hash(password)
        secret_hash = await self._key_hasher.hash(key.secret)
        credentials = TenantCredentials(tenant_id, new.slug, new.admin_email, password, key.plaintext)
        engine = owner_engine(self._url)
        try:
            async with engine.begin() as connection:
                await self._claim_slug(connection, new.slug)
                async with AsyncSession(connection, expire_on_commit=False) as session:
                    await self._register(session, tenant_id, new)
                    await create_schema(connection, tenant_schema(tenant_id))
                    await create_default_policies(session)
                    admin = await users.create_user(
                        session, email=new.admin_email, role=ADMIN, password_hash=password_hash
                    )
                    await auth.add_api_key(
                        session,
                        key_id=key_id,
                        name="first key",
                        display_prefix=key.display_prefix,
                        secret_hash=secret_hash,
                        role=ADMIN,
                        created_by=admin.id,
                    )
                if save is not None:
                    save(credentials)
        finally:
            await engine.dispose()
        return credentials

    async def reset_admin_password(self, slug: str, email: str) -> str | None:
        """Give an admin of a tenant a new generated password. None when there is no such admin."""
        password = secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
        password_hash = await self._hasher.hash(password)
        engine = owner_engine(self._url)
        try:
            async with engine.begin() as connection:
                tenant_id = await connection.scalar(select(Tenant.id).where(Tenant.slug == slug))
                if tenant_id is None:
                    return None
                await connection.execute(text(f"SET LOCAL search_path TO {tenant_schema(tenant_id)}"))
                async with AsyncSession(connection) as session:
                    changed = await users.set_password(
                        session, email, role=ADMIN, password_hash=password_hash
                    )
                    await session.flush()
        finally:
            await engine.dispose()
        return password if changed else None

    async def _refuse_taken(self, slug: str) -> None:
        """Before the costly hashes are made; `_claim_slug` decides."""
        engine = owner_engine(self._url)
        try:
            async with engine.connect() as connection:
                if await connection.scalar(select(Tenant.id).where(Tenant.slug == slug)) is not None:
                    raise TenantExists(f"{slug} is taken.")
        finally:
            await engine.dispose()

    async def _claim_slug(self, connection: AsyncConnection, slug: str) -> None:
        """Two creations of the same slug take turns, so the second sees the first."""
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(slug, 0))))
        if await connection.scalar(select(Tenant.id).where(Tenant.slug == slug)) is not None:
            raise TenantExists(f"{slug} is taken.")

    async def _register(self, session: AsyncSession, tenant_id: UUID, new: NewTenant) -> None:
        session.add(
            Tenant(
                id=tenant_id,
                slug=new.slug,
                name=new.name,
                plan=new.plan,
                state=TenantState.ACTIVE,
                revision=head_revision("tenant"),
            )
        )
        await session.flush()


async def create_schema(connection: AsyncConnection, schema: str) -> None:
    """Role, schema, grants and tables in one message; leaves search_path in the new schema.

    The role owns nothing: it may read and write rows, and the owner login alone may change tables.
    """
    script = f"""
        CREATE ROLE {schema} NOLOGIN NOINHERIT;
        GRANT {schema} TO {RUNTIME_ROLE};
        CREATE SCHEMA {schema};
        GRANT USAGE ON SCHEMA {schema} TO {schema};
        ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}
            GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {schema};
        SET LOCAL search_path TO {schema};
        {GOLDEN_TENANT_SCRIPT.read_text()}
    """
    raw = await connection.get_raw_connection()
    if raw.driver_connection is None:
        raise RuntimeError("the connection was closed")
    await raw.driver_connection.execute(script)
