"""The first tenant of an installation, made from `APP_FIRST_TENANT_NAME` and `…_ADMIN_EMAIL`."""

from collections.abc import Callable

from app.auth.passwords import PasswordHasher
from app.core.settings import Settings
from app.tenants.errors import InvalidTenant, NoMigrationDatabase, TenantExists
from app.tenants.onboarding import NewTenant, Onboarding, TenantCredentials, slugify


def onboarding_from(settings: Settings) -> Onboarding:
    """Onboarding as the settings describe it. Raises NoMigrationDatabase."""
    if settings.migration_database_url is None:
        raise NoMigrationDatabase
    return Onboarding(
        settings.migration_database_url.get_secret_value(),
        hasher=PasswordHasher(rounds=settings.bcrypt_rounds, workers=settings.password_workers),
        key_hasher=PasswordHasher(rounds=settings.api_key_bcrypt_rounds, workers=settings.password_workers),
        api_key_prefix=settings.api_key_prefix,
        live=settings.is_production_like,
    )


async def bootstrap_first_tenant(
    settings: Settings, *, save: Callable[[TenantCredentials], None] | None = None
) -> TenantCredentials | None:
    """Create the first tenant, or return None when it exists. Raises InvalidTenant, NoMigrationDatabase."""
    if not settings.first_tenant_name or not settings.first_tenant_admin_email:
        raise InvalidTenant("Set APP_FIRST_TENANT_NAME and APP_FIRST_TENANT_ADMIN_EMAIL.")
    new = NewTenant(
        name=settings.first_tenant_name,
        slug=slugify(settings.first_tenant_name),
        admin_email=settings.first_tenant_admin_email,
    )
    try:
        return await onboarding_from(settings).create(new, save=save)
    except TenantExists:
        return None
