"""People with roles of a test's choice."""

from tests.people import make_person

__all__ = ["make_person"]
