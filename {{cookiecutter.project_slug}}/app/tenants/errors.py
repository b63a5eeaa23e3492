"""What can go wrong with tenants."""

from app.core.errors import AppError, Conflict, NotFound, Unprocessable


class TenantExists(Conflict):
    slug = "tenant-exists"
    title = "A tenant with this slug exists"


class TenantNotFound(NotFound):
    slug = "tenant-not-found"
    title = "There is no such tenant"


class InvalidTenant(Unprocessable):
    slug = "invalid-tenant"
    title = "The tenant cannot be created from this"


class NoMigrationDatabase(AppError):
    slug = "no-migration-database"
    title = "APP_MIGRATION_DATABASE_URL is not set; tenants are created by the login that owns the database"


class IsolationProofRunning(Conflict):
    slug = "isolation-proof-running"
    title = "Another isolation proof runs on this database; wait until it has ended"
