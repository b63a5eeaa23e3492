"""The tables of a tenant at any revision, and the way to head, as SQL for one transaction."""

import io
import re
from typing import Final

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from app.core.migrations import alembic_config, head_revision

# Nobody is served from the tables while they are made, so an index needs no CONCURRENTLY; and a
# transaction allows none.
_TRANSACTION_LINES: Final = re.compile(r"^(?:COMMIT|BEGIN);\n+", re.MULTILINE)
_CONCURRENTLY: Final = re.compile(
    r"^((?:CREATE (?:UNIQUE )?|DROP )INDEX) CONCURRENTLY(?: IF (?:NOT )?EXISTS)?", re.MULTILINE
)


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
    return None if revision == head_revision("tenant") else _render(f"base:{revision}")


def script_from(revision: str) -> str:
    """What brings the tables of a revision to head; empty at head."""
    head = head_revision("tenant")
    return "" if revision == head else _render(f"{revision}:{head}")


def _render(span: str) -> str:
    output = io.StringIO()
    command.upgrade(alembic_config("tenant", output=output), span, sql=True)
    return _CONCURRENTLY.sub(r"\1", _TRANSACTION_LINES.sub("", output.getvalue()))
