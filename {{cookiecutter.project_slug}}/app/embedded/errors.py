"""The one error of this package."""


class EmbeddedError(Exception):
    """A server cannot be started; the message says what to do."""
