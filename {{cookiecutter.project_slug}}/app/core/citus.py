"""Says whether a database is the coordinator of a Citus cluster, and whether that cluster is ready.

docs/citus.md has the set-up that is asked for here.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.errors import ServiceUnavailable

INSTALLED: Final = "EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
SETUP: Final = "docs/citus.md has the set-up; `app migrate provision-citus` does its part of it."
_STATE: Final = text(
    "SELECT citus_is_coordinator() AS coordinates,"
    " (SELECT groupid <> 0 FROM pg_dist_local_group) AS is_worker,"
    " (SELECT count(*) FROM pg_dist_node WHERE groupid <> 0 AND isactive AND shouldhaveshards) AS workers,"
    " (SELECT bool_or(shouldhaveshards) FROM pg_dist_node WHERE groupid = 0) AS holds_tenants,"
    " (SELECT string_agg(nodename || ':' || nodeport, ', ' ORDER BY nodeid) FROM pg_dist_node"
    "   WHERE groupid <> 0 AND NOT (hasmetadata AND metadatasynced)) AS unaware,"
    " EXISTS (SELECT FROM pg_dist_object WHERE classid = 'pg_authid'::regclass"
    "   AND objid = CAST(current_user AS regrole)) AS owner_everywhere"
)
# Also shows that the coordinator gets in as the login that asks.
_WORKERS: Final = text(
    "SELECT nodename || ':' || nodeport AS worker, success, result FROM run_command_on_workers("
    " 'SELECT has_database_privilege(''public'', current_database(), ''CONNECT'')')"
)


class ClusterNotReady(ServiceUnavailable):
    slug = "cluster-not-ready"
    title = "The Citus cluster of this placement is not ready for tenants"


async def is_citus(connection: AsyncConnection) -> bool:
    """True in a database that has the extension."""
    return bool(await connection.scalar(text(f"SELECT {INSTALLED}")))


async def refuse_unready(connection: AsyncConnection) -> None:
    """As the login that owns the database. Raises ClusterNotReady with what to do."""
    state = (await connection.execute(_STATE)).one()
    if state.is_worker:
        fault = "This is a worker: the placement's URLs must lead to the coordinator."
    elif not state.coordinates or not state.workers:
        fault = "No worker takes tenants: add one with `app migrate provision-citus`."
    elif state.holds_tenants:
        fault = "The coordinator takes tenants too, which cannot log in there: set its shouldhaveshards off."
    elif state.unaware:
        fault = f"Without metadata: {state.unaware}. Run start_metadata_sync_to_all_nodes()."
    elif not state.owner_everywhere:
        fault = "The workers do not know the owner's login: run `app migrate provision-citus`."
    else:
        fault = await _fault_of_workers(connection)
    if fault:
        raise ClusterNotReady(f"{fault} {SETUP}")


async def _fault_of_workers(connection: AsyncConnection) -> str:
    for worker in await connection.execute(_WORKERS):
        if not worker.success:
            return f"The coordinator cannot log in at {worker.worker} as the owner: {worker.result.strip()}."
        if worker.result != "t":
            return f"Tenants may not connect to the database at {worker.worker}."
    return ""
