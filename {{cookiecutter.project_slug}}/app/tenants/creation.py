"""The steps that make a tenant: schema, roles, limits, admin with an API key, active."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access import ADMIN, create_default_policies
from app.auth import service as auth
from app.auth.passwords import PasswordHasher
from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.ids import new_id
from app.limits.service import override_tenant_limit
from app.tenants.errors import InvalidTenant, TenantExists, TenantNotFound
from app.tenants.models import Plan, Tenant, TenantState
from app.tenants.operations import Step, note_parameters
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import create_schema, in_schema
from app.users import service as users

SLUG_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
# What a purge leaves in the place of a slug. Whoever could claim one could keep a purge from its end.
PURGED_SLUG: Final = re.compile(r"deleted-[0-9a-f]{32}")
GENERATED_PASSWORD_BYTES: Final = 18
MAX_PER_MINUTE: Final = 10_000_000
FIRST_KEY: Final = "first key"
# Members of an onboarding's parameters, for who resumes it.
CHOSE_PASSWORD: Final = "chose_password"  # noqa: S105  # a name
CREDENTIALS_SAVED: Final = "credentials_saved"


def check_slug(slug: str) -> None:
    """Raises InvalidTenant for what a tenant may not be called."""
    if not SLUG_PATTERN.fullmatch(slug):
        raise InvalidTenant(
            "slug: 2 to 40 lower-case letters, digits and hyphens, beginning with a letter and ending"
            " with a letter or digit."
        )
    if PURGED_SLUG.fullmatch(slug):
        raise InvalidTenant("slug: it has the form of a purged tenant's; choose another.")


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What a new tenant is made from. Raises InvalidTenant when it cannot be."""

    name: str
    slug: str
    admin_email: str
    plan: Plan = Plan.FREE
    placement: str = DEFAULT_PLACEMENT
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        check_slug(self.slug)
        if not 1 <= len(self.name) <= 200 or not self.name.isprintable() or not self.name.strip():
            raise InvalidTenant("name: 1 to 200 printable characters.")
        if self.requests_per_minute is not None and not 1 <= self.requests_per_minute <= MAX_PER_MINUTE:
            raise InvalidTenant(f"requests_per_minute: 1 to {MAX_PER_MINUTE}.")
        try:
            # `test_environment` lets the reserved domain .test pass, which cannot receive mail anyway.
            validate_email(self.admin_email, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            raise InvalidTenant(f"admin_email: {error}") from None


@dataclass(frozen=True, slots=True)
class TenantCredentials:
    """What the first person of a tenant needs. Shown once: only hashes are stored.

    `password` is None when the person chose it, and an attempt before this one knew it.
    """

    tenant_id: UUID
    tenant: str
    email: str
    password: str | None
    api_key: str


Save = Callable[[TenantCredentials], None]
# Writes what is to be kept of the change, in the change's own transaction.
Record = Callable[[AsyncSession, UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CreationTools:
    """What making a tenant needs; `live` says whether its API keys are `live` or `test`."""

    owners: OwnerDatabases
    hasher: PasswordHasher
    key_hasher: PasswordHasher
    api_key_prefix: str
    live: bool


class Creation:
    """The steps that make one tenant. Each may run twice."""

    def __init__(
        self,
        tools: CreationTools,
        tenant_id: UUID,
        new: NewTenant,
        *,
        save: Save | None,
        password: str | None = None,
        keep_password: bool = False,
    ) -> None:
        self._tools = tools
        self._tenant_id = tenant_id
        self._schema = tenant_schema(tenant_id)
        self._new = new
        self._save = save
        self._password = password
        self._keep_password = keep_password
        self.credentials: TenantCredentials | None = None

    def steps(self) -> list[Step]:
        return [
            Step("schema", self._make_schema),
            Step("roles", self._make_roles),
            Step("limits", self._set_limits),
            Step("admin", self._make_admin),
            Step("activate", self._activate),
        ]

    def finished(self) -> TenantCredentials:
        if self.credentials is None:
            raise RuntimeError("a creation from its first step makes credentials")
        return self.credentials

    async def _make_schema(self, registry: AsyncConnection) -> None:
        if self._new.placement == DEFAULT_PLACEMENT:
            revision = await _create_schema(registry, self._schema)
        else:
            async with self._tools.owners.of(self._new.placement).begin() as placed:
                revision = await _create_schema(placed, self._schema)
        await registry.execute(update(Tenant).where(Tenant.id == self._tenant_id).values(revision=revision))

    async def _make_roles(self, registry: AsyncConnection) -> None:
        async with self._session(registry) as session:
            await create_default_policies(session)

    async def _set_limits(self, registry: AsyncConnection) -> None:
        """The plan decides; only what differs from it is a row."""
        if self._new.requests_per_minute is not None:
            async with AsyncSession(registry) as session:
                await override_tenant_limit(session, self._tenant_id, self._new.requests_per_minute)

    async def _make_admin(self, registry: AsyncConnection) -> None:
        tools, key_id = self._tools, new_id()
        key = auth.new_api_key(
            tools.api_key_prefix, live=tools.live, tenant_id=self._tenant_id, key_id=key_id
        )
        password = self._password or generate_password()
        password_hash, secret_hash = await asyncio.gather(
            tools.hasher.hash(password), tools.key_hasher.hash(key.secret)
        )
        async with self._session(registry) as session:
            admin = await self._chooser(session)
            credentials = TenantCredentials(
                self._tenant_id,
                self._new.slug,
                self._new.admin_email,
                password if admin is None else None,
                key.plaintext,
            )
            admin = admin or await users.put_user(
                session, email=self._new.admin_email, role=ADMIN, password_hash=password_hash
            )
            # Of an attempt whose credentials nobody got to see.
            await auth.delete_api_keys(session, name=FIRST_KEY)
            await auth.add_api_key(
                session,
                key_id=key_id,
                name=FIRST_KEY,
                display_prefix=key.display_prefix,
                secret_hash=secret_hash,
                role=ADMIN,
                created_by=admin.id,
            )
            if self._save is not None:
                self._save(credentials)
        await note_parameters(registry, self._tenant_id, {CREDENTIALS_SAVED: self._save is not None})
        self.credentials = credentials

    async def _chooser(self, session: AsyncSession) -> users.ActiveUser | None:
        """The admin whom an earlier attempt made with a password of their own choice."""
        if not self._keep_password:
            return None
        return await users.find_active_by_email(session, self._new.admin_email)

    async def _activate(self, registry: AsyncConnection) -> None:
        await registry.execute(
            update(Tenant)
            .where(Tenant.id == self._tenant_id)
            .values(state=TenantState.ACTIVE, state_changed_at=func.now(), epoch=Tenant.epoch + 1)
        )

    @asynccontextmanager
    async def _session(self, registry: AsyncConnection) -> AsyncIterator[AsyncSession]:
        owners, placement = self._tools.owners, self._new.placement
        async with (
            in_schema(owners, registry, placement, self._schema) as placed,
            AsyncSession(placed, expire_on_commit=False) as session,
        ):
            yield session
            await session.flush()


async def _create_schema(connection: AsyncConnection, schema: str) -> str:
    """Returns the revision that it has: an earlier release, or a script behind head, may have made it."""
    await create_schema(connection, schema)
    return str((await connection.scalars(text("SELECT version_num FROM alembic_version"))).one())


def generate_password() -> str:
    """144 random bits."""
    return secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)


async def write_record(connection: AsyncConnection, tenant_id: UUID, record: Record | None) -> None:
    """Keep what is to be kept, in the caller's transaction; last in it, because writers of a trail queue."""
    if record is not None:
        async with AsyncSession(connection, expire_on_commit=False) as session:
            await record(session, tenant_id)
            await session.flush()


async def claim_slug(connection: AsyncConnection, slug: str) -> None:
    """Two creations of the same slug take turns, so the second sees the first. Raises TenantExists."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(slug, 0))))
    if await connection.scalar(select(Tenant.id).where(Tenant.slug == slug)) is not None:
        raise TenantExists(
            f"{slug} is taken; give a slug of your own (`slug` over HTTP, `--slug` in commands)."
        )


async def find_tenant(connection: AsyncConnection, tenant_id: UUID) -> Row[Any]:
    """The registry row. Raises TenantNotFound."""
    async with connection.begin():
        row = (await connection.execute(select(Tenant.__table__).where(Tenant.id == tenant_id))).one_or_none()
    if row is None:
        raise TenantNotFound
    return row
