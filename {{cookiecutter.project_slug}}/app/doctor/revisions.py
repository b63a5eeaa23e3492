"""Whether the shared tables and the tenants' are where this code expects them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from app.core.database import Database
from app.core.migrations import head_revision
from app.core.settings import Pooler
from app.doctor.databases import within
from app.doctor.report import Finding, fail, ok, skip, warn
from app.fleet import Fleet
from app.fleet.report import StatusReport

# Of a large fleet every schema's name is read.
STATUS_SECONDS: Final = 15.0
APPLY: Final = "run `app migrate apply`"
PLATFORM, TENANTS = "platform revision", "tenant revisions"


async def look_at_revisions(owners: Mapping[str, str]) -> list[Finding]:
    """By what `migrate status` reports. `owners` are the placements that were reached."""
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            report = await Fleet(owners).status()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this check is for
        return [fail("revisions", f"`migrate status` failed ({type(error).__name__})", "run that, and see")]
    return [platform(report), tenants(report, owners)]


def platform(report: StatusReport) -> Finding:
    if report.platform != report.platform_head:
        return fail(PLATFORM, f"{report.platform or 'none'}, and the code's is {report.platform_head}", APPLY)
    return ok(PLATFORM, f"{report.platform_head}, the code's own")


def tenants(report: StatusReport, owners: Mapping[str, str]) -> Finding:
    """Fails where a tenant has no schema; one that is behind is served by the code before."""
    status = "`app migrate status --deep` says which; docs/migrations.md what to do"
    number = sum(sum(counts.values()) for counts in report.revisions.values())
    if report.missing_schemas:
        return fail(TENANTS, f"{len(report.missing_schemas)} of {number} have no schema", status)
    if report.behind:
        return warn(TENANTS, f"{report.behind} of {number} are behind {report.head}", APPLY)
    unseen = sorted(set(report.unreachable) - set(owners))
    if unseen:
        return warn(TENANTS, f"not looked at on {', '.join(unseen)}", "configure their owner's login here")
    if report.drifted:
        return warn(TENANTS, "the registry and the databases disagree", status)
    return ok(TENANTS, f"{number} at {report.head}, the code's own")


async def look_at_registry(url: str, pooler: Pooler) -> list[Finding]:
    """What the login that serves can see: revisions as the registry has them."""
    database, head = Database(url, pool_size=1, pooler=pooler), head_revision("tenant")
    query = text("SELECT count(*), count(*) FILTER (WHERE revision <> :head) FROM tenants")

    async def ask() -> tuple[int, int]:
        async with database.platform() as session:
            number, behind = (await session.execute(query, {"head": head})).one()
            return number, behind

    try:
        number, behind = await within(ask())
    except Exception as error:  # noqa: BLE001  # as above
        return [fail(PLATFORM, f"the registry cannot be read ({type(error).__name__})", APPLY)]
    finally:
        await database.close()
    platform_ = skip(PLATFORM, "only the owner's login, APP_MIGRATION_DATABASE_URL, can read it")
    if behind:
        return [platform_, warn(TENANTS, f"{behind} of {number} are behind {head}", APPLY)]
    return [platform_, ok(TENANTS, f"{number} at {head}, the code's own")]
