"""What can go wrong with people."""

from app.core.errors import AppError, Conflict, NotFound


class UserNotFound(NotFound):
    slug = "user-not-found"
    title = "There is no such user"


class EmailTaken(Conflict):
    slug = "email-taken"
    title = "A user with this email exists"


class NotAUser(NotFound):
    slug = "not-a-user"
    title = "An API key has no profile"


class UserChanged(AppError):
    status = 412
    slug = "user-changed"
    title = "The user was changed since you read it"


class LastAdmin(Conflict):
    slug = "last-admin"
    title = "A tenant keeps at least one active admin"


class NotYetJoined(Conflict):
    slug = "not-yet-joined"
    title = "The user has not accepted the invitation"
