"""Corrects the registry where a schema is elsewhere than it says, and says so."""

from dataclasses import dataclass
from typing import Final

from app.fleet.connections import Connection, Registry
from app.fleet.registry import FleetTenant, read_version
from app.fleet.script import RevisionTree

ROW: Final = "SELECT revision, placement, moving_to FROM platform.tenants WHERE id = $1"
CORRECT: Final = """
    UPDATE platform.tenants SET revision = $2
     WHERE id = $1 AND placement = $3 AND moving_to IS NULL AND revision IS NOT DISTINCT FROM $4
"""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The revision a schema is at, and whether the registry had to be corrected; or why there is none."""

    revision: str | None = None
    corrected: bool = False
    reason: str = ""


async def reconcile(
    registry: Registry, connection: Connection, tenant: FleetTenant, tree: RevisionTree
) -> Reconciled:
    """Write the schema's own revision into the registry. `connection` is to the tenant's database.

    A killed run leaves a difference on a placement other than the registry's, where two databases commit one
    after the other; anywhere else somebody has migrated or restored the schema by hand.
    """
    rows = await registry.fetch(ROW, tenant.id)
    if not rows:
        return Reconciled(reason="it is no longer in the registry")
    row = rows[0]
    if row["moving_to"] is not None or row["placement"] != tenant.placement:
        place = row["moving_to"] or row["placement"]
        return Reconciled(reason=f"it is being moved to {place}; run this again when it is there")
    actual = await read_version(connection, tenant.schema)
    if actual is None:
        return Reconciled(reason="its schema is missing, or holds no alembic_version")
    if not tree.knows(actual):
        return Reconciled(reason=f"its schema is at {actual}, which this version of the code does not know")
    if row["revision"] == actual:
        return Reconciled(actual)
    await registry.fetch(CORRECT, tenant.id, actual, tenant.placement, row["revision"])
    return Reconciled(actual, corrected=True)
