"""What stops a migration before it has touched anything."""

from app.core.errors import AppError


class RevisionRefused(AppError):
    slug = "revision-refused"
    title = "The revisions are refused, and nothing was changed"


class MigratorBusy(AppError):
    slug = "migrator-busy"
    title = "Another migrator is at work, and nothing was changed"


class MigratorLockLost(AppError):
    slug = "migrator-lock-lost"
    title = "The connection that held the migration lock was lost; run it again to go on"


class PlacementUnavailable(AppError):
    slug = "placement-unavailable"
    title = "PostgreSQL did not answer as expected"


class UnknownTenant(AppError):
    slug = "unknown-tenant"
    title = "There is no such tenant"
