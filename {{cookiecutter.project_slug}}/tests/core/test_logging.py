"""What is logged of a database error names the fault and repeats no value of a row or a statement."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.database import Database
from app.core.logging import _renderers, format_traceback
from tests.conftest import TestTenant

SECRET = "swordfish\nDETAIL: harmless\n\nThat led to:\nswordfish"
FAULTS = [
    # The server's DETAIL shows the row, its message the text; the driver's own message shows the argument.
    ("INSERT INTO users (id, email, role) VALUES (gen_random_uuid(), :secret, NULL)", "23502 users"),
    ("INSERT INTO resources (id, name, version) VALUES (gen_random_uuid(), :secret, 0)", "ck_resources"),
    ("SELECT CAST(CAST(:secret AS text) AS integer)", "22P02"),
    ("SELECT CAST(:secret AS integer)", "DataError"),
]


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize(("statement", "named"), FAULTS)
async def test_a_database_error_is_logged_without_values(
    database: Database, tenant: TestTenant, statement: str, named: str, fmt: str
) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with database.tenant(tenant.schema) as session:
            await session.execute(text(statement), {"secret": SECRET})
    event: object = {"event": "unhandled_error", "level": "error", "exc_info": raised.value}
    for renderer in _renderers(fmt):
        event = renderer(None, "error", event)  # type: ignore[arg-type]
    assert "swordfish" not in str(event)
    assert named in str(event)
    assert "test_logging.py" in str(event)


def test_a_fault_of_our_own_is_logged_with_its_message_its_causes_and_its_members() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError("second")]) from error
    except ExceptionGroup as group:
        shown = format_traceback(group)
    for part in ("first", "several", "second", "test_logging.py"):
        assert part in shown
    assert shown.index("first") < shown.index("several")
