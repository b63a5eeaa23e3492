"""What a client hears when it cannot be authenticated: enough to act on, nothing to learn from."""

from app.core.errors import Conflict, Forbidden, NotFound, Unauthorized, Unprocessable


class InvalidCredentials(Unauthorized):
    """One answer for unknown tenant, unknown user, wrong password and disabled user."""

    slug = "invalid-credentials"
    title = "Tenant, email or password is wrong"


class InvalidAccessToken(Unauthorized):
    slug = "invalid-token"
    title = "The access token is not valid"


class InvalidRefreshToken(Unauthorized):
    slug = "invalid-refresh-token"
    title = "The refresh token is not valid; log in again"


class InvalidAPIKey(Unauthorized):
    slug = "invalid-api-key"
    title = "The API key is not valid"


class AmbiguousCredentials(Unauthorized):
    slug = "ambiguous-credentials"
    title = "Send one credential, not several"


class SessionNotFound(NotFound):
    slug = "session-not-found"
    title = "There is no such session"


class APIKeyNotFound(NotFound):
    slug = "api-key-not-found"
    title = "There is no such API key"


class APIKeyNotRotatable(Conflict):
    slug = "api-key-not-rotatable"
    title = "Only a key that works, and has no successor, can be rotated"


class TooManyAPIKeys(Conflict):
    slug = "too-many-api-keys"
    title = "The tenant has as many API keys as it may have"


class ExpiryInThePast(Unprocessable):
    slug = "expiry-in-the-past"
    title = "An API key must expire in the future"


class APIKeyOutlivesMaker(Forbidden):
    slug = "api-key-outlives-maker"
    title = "An API key may make none that expires later than itself"


class WrongPassword(Forbidden):
    """Not 401, at which clients end the session."""

    slug = "wrong-password"
    title = "The current password is wrong"


class UnacceptablePassword(Unprocessable):
    slug = "unacceptable-password"
    title = "The new password is not acceptable"
