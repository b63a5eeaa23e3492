"""What the settings make: the services that change tenants, and the first tenant (`APP_FIRST_TENANT_*`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.passwords import PasswordHasher, WeakPassword, validate_password
from app.core.redis import make_redis
from app.core.settings import Settings
from app.operators import record_action
from app.tenants.admin_passwords import AdminPasswords
from app.tenants.creation import CreationTools, NewTenant, Save, TenantCredentials
from app.tenants.errors import InvalidTenant, NothingToResume, TenantExists
from app.tenants.export import Export
from app.tenants.imports import Import
from app.tenants.lifecycle import Lifecycle
from app.tenants.models import Tenant
from app.tenants.move import Move
from app.tenants.onboarding import Onboarding, slugify
from app.tenants.placements import OwnerDatabases
from app.tenants.purge import Purge


def creation_tools(
    settings: Settings, owners: OwnerDatabases, *, hasher: PasswordHasher, key_hasher: PasswordHasher
) -> CreationTools:
    """What onboarding needs; the caller closes the pools."""
    return CreationTools(
        owners,
        hasher=hasher,
        key_hasher=key_hasher,
        api_key_prefix=settings.api_key_prefix,
        live=settings.is_production_like,
    )


def make_lifecycle(settings: Settings, owners: OwnerDatabases, redis: Redis) -> Lifecycle:
    """Lifecycle with pools that the caller closes."""
    return Lifecycle(
        owners,
        redis,
        secret_key=settings.secret_key.get_secret_value(),
        grace_days=settings.tenant_deletion_grace_days,
    )


@asynccontextmanager
async def onboarding_from(settings: Settings) -> AsyncIterator[Onboarding]:
    """Onboarding for one command; closes what it opened."""
    owners = OwnerDatabases.from_settings(settings)
    hasher = PasswordHasher(rounds=settings.bcrypt_rounds, workers=settings.password_workers)
    key_hasher = PasswordHasher(rounds=settings.api_key_bcrypt_rounds, workers=settings.password_workers)
    try:
        yield Onboarding(creation_tools(settings, owners, hasher=hasher, key_hasher=key_hasher))
    finally:
        hasher.close()
        key_hasher.close()
        await owners.close()


@asynccontextmanager
async def lifecycle_from(settings: Settings) -> AsyncIterator[tuple[Lifecycle, Purge]]:
    """Lifecycle and purge for one command; closes what it opened."""
    async with _opened(settings) as (owners, redis):
        yield make_lifecycle(settings, owners, redis), Purge(owners, redis)


@asynccontextmanager
async def admin_passwords_from(settings: Settings) -> AsyncIterator[AdminPasswords]:
    """Passwords of admins for one command; closes what it opened."""
    hasher = PasswordHasher(rounds=settings.bcrypt_rounds, workers=1)
    try:
        async with _opened(settings) as (owners, redis):
            yield AdminPasswords(owners, redis, hasher=hasher)
    finally:
        hasher.close()


@asynccontextmanager
async def export_from(settings: Settings) -> AsyncIterator[Export]:
    """Export for one command; closes what it opened."""
    async with _opened(settings) as (owners, _):
        yield Export(owners)


@asynccontextmanager
async def import_from(settings: Settings) -> AsyncIterator[Import]:
    """Import for one command; closes what it opened."""
    async with _opened(settings) as (owners, redis):
        yield Import(owners, redis, secret_key=settings.secret_key.get_secret_value())


@asynccontextmanager
async def move_from(settings: Settings) -> AsyncIterator[Move]:
    """Move for one command; closes what it opened."""
    async with _opened(settings) as (owners, redis):
        yield Move(owners, redis, secret_key=settings.secret_key.get_secret_value())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[OwnerDatabases, Redis]]:
    owners = OwnerDatabases.from_settings(settings)
    redis = make_redis(settings.redis_url.get_secret_value())
    try:
        yield owners, redis
    finally:
        await redis.aclose()
        await owners.close()


async def bootstrap_first_tenant(settings: Settings, *, save: Save | None = None) -> TenantCredentials | None:
    """Create the first tenant, or finish it, and record that; None when it exists.

    Raises InvalidTenant, NoMigrationDatabase.
    """
    if not settings.first_tenant_name or not settings.first_tenant_admin_email:
        raise InvalidTenant("Set APP_FIRST_TENANT_NAME and APP_FIRST_TENANT_ADMIN_EMAIL.")
    new = NewTenant(
        name=settings.first_tenant_name,
        slug=slugify(settings.first_tenant_name),
        admin_email=settings.first_tenant_admin_email,
    )
    given = settings.first_tenant_admin_password
    password = given.get_secret_value() if given else None
    if password is not None:
        try:
            validate_password(password, context=(new.admin_email, new.name, settings.project_name))
        except WeakPassword as error:
            raise InvalidTenant(f"APP_FIRST_TENANT_ADMIN_PASSWORD {error}") from None
    async with onboarding_from(settings) as onboarding:
        try:
            return await onboarding.create(new, save=save, password=password, record=_record_bootstrap)
        except TenantExists:
            pass
        owners = OwnerDatabases.from_settings(settings)
        try:
            async with owners.registry.connect() as connection:
                tenant_id = await connection.scalar(select(Tenant.id).where(Tenant.slug == new.slug))
        finally:
            await owners.close()
        if tenant_id is None:
            return None
        try:
            return await onboarding.resume(tenant_id, save=save, password=password, record=_record_bootstrap)
        except NothingToResume:
            return None


async def _record_bootstrap(session: AsyncSession, tenant_id: UUID) -> None:
    await record_action(session, "tenants:bootstrap", tenant_id=tenant_id)
