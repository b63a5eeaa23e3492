"""What can go wrong with the audit trail."""

from app.core.errors import NotFound, Unprocessable


class AuditEntryNotFound(NotFound):
    slug = "audit-entry-not-found"
    title = "The audit trail has no such entry"


class InvalidCheckpoint(Unprocessable):
    slug = "invalid-checkpoint"
    title = "This is no checkpoint that can be trusted"
