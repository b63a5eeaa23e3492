"""Moves a tenant from one worker of a Citus cluster to another; its placement stays the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.citus import is_citus
from app.core.context import tenant_schema
from app.tenants.creation import Record, find_tenant
from app.tenants.errors import InvalidTenant, SchemaChangeFailed, TenantStateConflict
from app.tenants.operations import reason_of, tenant_locked
from app.tenants.placements import OwnerDatabases

_SHARDS: Final = (
    "pg_dist_schema s JOIN pg_dist_partition t USING (colocationid)"
    " JOIN pg_dist_shard h USING (logicalrelid) JOIN pg_dist_placement p USING (shardid)"
)
_NODES: Final = text(
    "SELECT n.nodename AS host, n.nodeport AS port, count(DISTINCT held.schemaid) AS tenants"  # noqa: S608
    f" FROM pg_dist_node n LEFT JOIN (SELECT s.schemaid, p.groupid FROM {_SHARDS}) held USING (groupid)"
    " WHERE n.noderole = 'primary' AND n.isactive AND n.shouldhaveshards"
    " GROUP BY n.nodeid, n.nodename, n.nodeport ORDER BY n.nodeid"
)
_NODE_OF: Final = text(
    f"SELECT DISTINCT n.nodename AS host, n.nodeport AS port FROM {_SHARDS}"  # noqa: S608
    " JOIN pg_dist_node n USING (groupid)"
    " WHERE n.noderole = 'primary' AND s.schemaid = to_regnamespace(:schema)"
)
_MOVE: Final = text("SELECT citus_schema_move(CAST(:schema AS regnamespace), :host, :port)")


@dataclass(frozen=True, slots=True)
class Node:
    """A worker, by the address that the coordinator has for it."""

    host: str
    port: int
    tenants: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rebalanced:
    """Where a tenant was and is, by address."""

    before: str
    now: str


class Rebalance:
    """Works with the logins that own the databases."""

    def __init__(self, owners: OwnerDatabases) -> None:
        self._owners = owners

    async def nodes(self, placement: str) -> Sequence[Node]:
        """The workers that take tenants. Raises InvalidTenant where the placement is no Citus cluster."""
        async with self._owners.of(placement).connect() as connection:
            if not await is_citus(connection):
                raise InvalidTenant(f"placement: {placement!r} is no Citus cluster.")
            return await _nodes(connection)

    async def move(self, tenant_id: UUID, address: str, *, record: Record | None = None) -> Rebalanced:
        """Copy the tenant's tables to a worker while they are written to, then switch; all or nothing.

        Writes wait for the switch, a fraction of a second. `record` is committed before anything moves.
        Raises TenantNotFound, InvalidTenant, TenantStateConflict, OperationInProgress, SchemaChangeFailed.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as registry:
            tenant = await find_tenant(registry, tenant_id)
            nodes = {node.address: node for node in await self.nodes(tenant.placement)}
            if address not in nodes:
                raise InvalidTenant(f"to-node: {address!r} takes no tenants; known: {', '.join(nodes)}.")
            async with self._owners.of(tenant.placement).begin() as placed:
                before = await _node_of(placed, tenant_schema(tenant_id))
                if before == address:
                    return Rebalanced(before, address)
                if record is not None:
                    async with registry.begin(), AsyncSession(registry) as session:
                        await record(session, tenant_id)
                        await session.flush()
                await _move(placed, tenant_schema(tenant_id), nodes[address])
        return Rebalanced(before, address)


async def _nodes(connection: AsyncConnection) -> list[Node]:
    return [Node(row.host, row.port, row.tenants) for row in await connection.execute(_NODES)]


async def _node_of(connection: AsyncConnection, schema: str) -> str:
    found = (await connection.execute(_NODE_OF, {"schema": schema})).all()
    if len(found) != 1:
        raise TenantStateConflict("It has no tables on any worker.")
    return f"{found[0].host}:{found[0].port}"


async def _move(connection: AsyncConnection, schema: str, node: Node) -> None:
    try:
        await connection.execute(_MOVE, {"schema": schema, "host": node.host, "port": node.port})
    except DBAPIError as error:
        raise SchemaChangeFailed(reason_of(error)) from error
