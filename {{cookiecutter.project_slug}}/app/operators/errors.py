"""What can go wrong with operators."""

from app.core.errors import Conflict, NotFound, Unauthorized, Unprocessable


class InvalidOperatorCredentials(Unauthorized):
    """One answer for an unknown operator, a wrong password and a disabled operator."""

    slug = "invalid-credentials"
    title = "Email or password is wrong"


class OperatorExists(Conflict):
    slug = "operator-exists"
    title = "An operator with this email exists"


class OperatorNotFound(NotFound):
    slug = "operator-not-found"
    title = "There is no such operator"


class InvalidOperator(Unprocessable):
    slug = "invalid-operator"
    title = "The operator cannot be created from this"
