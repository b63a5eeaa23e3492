"""The SQL that is sent: each message checks where a schema stands before it changes anything there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.core.context import DEFAULT_PLACEMENT
from app.core.routing import PLATFORM_SCHEMA
from app.fleet.script import BASE, Phase

# A waiting ALTER TABLE makes the tenant's requests wait behind it, and in a batch also those of the tenants
# before it. Both are below PostgreSQL's deadlock_timeout of 1 s, so that it is the migrator who gives way.
BATCH_LOCK_TIMEOUT: Final = "200ms"
SINGLE_LOCK_TIMEOUT: Final = "800ms"
# A concurrent index build that waits keeps nobody waiting.
CONCURRENT_LOCK_TIMEOUT: Final = "30s"
# An SQLSTATE of our own: the schema or the registry is not where this message expects it.
DRIFT: Final = "DRIFT"


@dataclass(frozen=True, slots=True)
class Target:
    """One schema: a tenant's, or with no `tenant_id` the platform's.

    `registered_here` says that the registry is in the same database, so that both change in one transaction.
    """

    schema: str
    tenant_id: UUID | None = None
    placement: str = DEFAULT_PLACEMENT
    registered_here: bool = True


def transaction(targets: Sequence[Target], phase: Phase) -> str:
    """One transaction, as one message, that takes all of these schemas through a phase or none."""
    timeout = SINGLE_LOCK_TIMEOUT if len(targets) == 1 else BATCH_LOCK_TIMEOUT
    parts = (
        f"{_route(target)}SET LOCAL lock_timeout = '{timeout}';\n"
        f"{_guard(target, phase, writes=True)}\n{phase.sql}\n"
        for target in targets
    )
    return "BEGIN;\n" + "".join(parts) + "COMMIT;"


def check(target: Target, phase: Phase) -> str:
    """A message that fails with DRIFT unless the schema stands where the phase begins."""
    return f"BEGIN;\n{_route(target)}{_guard(target, phase, writes=False)}\nCOMMIT;"


def concurrent_session(target: Target) -> str:
    """Outside of a transaction the search path is the session's; every use sets it anew."""
    route = "RESET search_path;" if target.tenant_id is None else f"SET search_path TO {target.schema};"
    return f"{route} SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT}';"


def _route(target: Target) -> str:
    # Platform revisions name their schema themselves.
    return "" if target.tenant_id is None else f"SET LOCAL search_path TO {target.schema};\n"


def _guard(target: Target, phase: Phase, *, writes: bool) -> str:
    """Fails unless registry and schema stand at the phase's start; the row it locks keeps others away."""
    if phase.start == BASE:
        return f"CREATE SCHEMA IF NOT EXISTS {PLATFORM_SCHEMA};" if target.tenant_id is None else ""
    # Ids, and names of revisions and placements, whose form is checked where they are read: no quotes.
    registry = _registry_guard(target, phase, writes=writes) if target.registered_here else ""
    table = f"{target.schema}.alembic_version"
    return f"""DO $fleet$ BEGIN
{registry}PERFORM 1 FROM {table} FOR UPDATE;
IF (SELECT string_agg(version_num, ',') FROM {table}) IS DISTINCT FROM '{phase.start}' THEN
RAISE EXCEPTION 'the schema is not at {phase.start}' USING ERRCODE = '{DRIFT}'; END IF;
END $fleet$;"""  # noqa: S608


def _registry_guard(target: Target, phase: Phase, *, writes: bool) -> str:
    if target.tenant_id is None:
        return ""
    row = (
        f"id = '{target.tenant_id}' AND revision = '{phase.start}' AND placement = '{target.placement}'"
        " AND moving_to IS NULL"
    )
    change = f"UPDATE platform.tenants SET revision = '{phase.end}'"  # noqa: S608
    return f"""{change if writes else "PERFORM 1 FROM platform.tenants"} WHERE {row};
IF NOT FOUND THEN RAISE EXCEPTION 'the registry has changed' USING ERRCODE = '{DRIFT}'; END IF;
"""
