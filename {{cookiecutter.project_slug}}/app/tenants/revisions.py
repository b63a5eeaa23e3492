"""The tables of a tenant at any revision, and the way to head, as SQL for one transaction."""

from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from app.core.migrations import alembic_config, head_revision, render_in_one_transaction


def is_known(revision: str) -> bool:
    """True when this release can make and migrate the tables of a revision."""
    try:
        found = ScriptDirectory.from_config(alembic_config("tenant")).get_revision(revision)
    except CommandError:
        return False
    # Alembic completes a prefix; a revision is its whole name.
    return found is not None and found.revision == revision


def script_to(revision: str) -> str | None:
    """What makes the tables of a revision in an empty schema; None for head, which `create_schema` makes."""
    return None if revision == head_revision("tenant") else render_in_one_transaction("base", revision)


def script_from(revision: str) -> str:
    """What brings the tables of a revision to head; empty at head."""
    head = head_revision("tenant")
    return "" if revision == head else render_in_one_transaction(revision, head)
