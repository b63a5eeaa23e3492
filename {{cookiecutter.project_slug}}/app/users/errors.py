"""What can go wrong with people."""

from app.core.errors import Conflict, NotFound


class UserNotFound(NotFound):
    slug = "user-not-found"
    title = "There is no such user"


class EmailTaken(Conflict):
    slug = "email-taken"
    title = "A user with this email exists"


class NotAUser(NotFound):
    slug = "not-a-user"
    title = "An API key has no profile"
