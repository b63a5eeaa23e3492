"""What can go wrong with resources."""

from app.core.errors import AppError, NotFound


class ResourceNotFound(NotFound):
    slug = "resource-not-found"
    title = "There is no such resource"


class ResourceChanged(AppError):
    status = 412
    slug = "resource-changed"
    title = "The resource was changed since you read it"
