"""What can go wrong with tenants."""

from app.core.errors import AppError, Conflict, Forbidden, NotFound, ServiceUnavailable, Unprocessable


class TenantExists(Conflict):
    slug = "tenant-exists"
    title = "A tenant with this slug exists"


class TenantNotFound(NotFound):
    slug = "tenant-not-found"
    title = "There is no such tenant"


class TenantIdTaken(TenantExists):
    title = "This tenant is here already"


class AdminNotFound(NotFound):
    slug = "admin-not-found"
    title = "There is no such admin"


class TenantSchemaMissing(Conflict):
    slug = "tenant-schema-missing"
    title = "The tenant's schema is missing"


class InvalidTenant(Unprocessable):
    slug = "invalid-tenant"
    title = "This does not fit a tenant"


class TenantStateConflict(Conflict):
    slug = "tenant-state-conflict"
    title = "The tenant is not in a state for that"


class OperationInProgress(Conflict):
    slug = "operation-in-progress"
    title = "Another operation works on this tenant"


class NothingToResume(Conflict):
    slug = "nothing-to-resume"
    title = "The tenant has no unfinished operation"


class SchemaChangeFailed(AppError):
    slug = "schema-change-failed"
    title = "The tenant's database refused a change of its schema"


class CopyFailed(AppError):
    slug = "copy-failed"
    title = "The tenant's rows could not be copied"


class UnusableArchive(Unprocessable):
    slug = "unusable-archive"
    title = "The archive cannot be imported"


class UnwritableArchive(Unprocessable):
    slug = "unwritable-archive"
    title = "The archive cannot be written"


class TenantSuspended(Forbidden):
    slug = "tenant-suspended"
    title = "This tenant is suspended"


class TenantMoving(ServiceUnavailable):
    slug = "tenant-moving"
    title = "This tenant is being moved and takes no writes for a moment"

    def __init__(self) -> None:
        super().__init__("Try again in a moment.", headers={"Retry-After": "1"})


class IsolationProofRunning(Conflict):
    slug = "isolation-proof-running"
    title = "Another isolation proof runs on this database; wait until it has ended"
