"""Finds what must be done: each tenant that is not at head, and what stands in the way of some."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.core.context import DEFAULT_PLACEMENT
from app.fleet.connections import Connection, Registry, connected
from app.fleet.errors import PlacementUnavailable, UnknownTenant
from app.fleet.messages import Target
from app.fleet.reconcile import reconcile
from app.fleet.registry import FleetTenant, read_schemas, read_tenants, select_tenants
from app.fleet.report import Outcome
from app.fleet.script import BASE, RevisionTree
from app.fleet.work import Work


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at the registry and the databases says must be done."""

    works: Sequence[Work]
    at_head: int


class Surveyor:
    """Looks at the registry and at the databases it names. With `registry` it corrects as it looks."""

    def __init__(
        self, owners: Mapping[str, str], tree: RevisionTree, *, registry: Registry | None = None
    ) -> None:
        self._owners = owners
        self._tree = tree
        self._registry = registry

    async def find(self, fetch: Any, wanted: Collection[str]) -> Due:
        """Every tenant that is not at head, as work to do or as failed with the reason.

        The registry is believed, unless tenants are named: their schemas are asked.
        """
        tenants = select_or_refuse(await read_tenants(fetch), wanted)
        head = self._tree.head
        candidates = [tenant for tenant in tenants if wanted or tenant.revision != head]
        by_placement: dict[str, list[FleetTenant]] = defaultdict(list)
        for tenant in candidates:
            by_placement[tenant.placement].append(tenant)
        found: dict[UUID, Work | None] = {}
        for placement, group in by_placement.items():
            found |= await self._look(placement, group, ask=bool(wanted))
        works = [work for tenant in candidates if (work := found[tenant.id]) is not None]
        return Due(works, at_head=sum(tenant.revision == head for tenant in tenants))

    async def _look(
        self, placement: str, tenants: Sequence[FleetTenant], *, ask: bool
    ) -> dict[UUID, Work | None]:
        """The work on the tenants of one placement; None for one that needs none."""
        url = self._owners.get(placement)
        if url is None:
            reason = f"its placement {placement} has no URL here"
            return {tenant.id: _work(tenant, failed=reason) for tenant in tenants}
        try:
            async with connected(url, placement) as connection:
                schemas = await read_schemas(connection)
                works = {tenant.id: self._consider(tenant, schemas) for tenant in tenants}
                for tenant in tenants if ask else ():
                    if tenant.schema in schemas and tenant.moving_to is None:
                        works[tenant.id] = await self._ask(connection, tenant)
                return works
        except PlacementUnavailable as error:
            if placement == DEFAULT_PLACEMENT:
                raise
            return {tenant.id: _work(tenant, failed=str(error)) for tenant in tenants}

    def _consider(self, tenant: FleetTenant, schemas: Collection[str]) -> Work | None:
        if tenant.schema not in schemas:
            return _work(tenant, failed="its schema is missing") if tenant.needs_schema else None
        if tenant.moving_to is not None:
            return _work(
                tenant, failed=f"it is being moved to {tenant.moving_to}; run this again when it is there"
            )
        if tenant.revision is None:
            # One that is being made has its revision written when its tables stand.
            reason = "the registry has no revision for it; name it with --tenant to have that corrected"
            return _work(tenant, failed=reason) if tenant.needs_schema else None
        if not self._tree.knows(tenant.revision):
            return _work(
                tenant,
                failed=f"it is at {tenant.revision}, which this version of the code does not know",
            )
        return _work(tenant) if tenant.revision != self._tree.head else None

    async def _ask(self, connection: Connection, tenant: FleetTenant) -> Work | None:
        """A tenant that was named: its schema is asked, and the registry corrected."""
        if self._registry is None:
            return self._consider(tenant, {tenant.schema})
        found = await reconcile(self._registry, connection, tenant, self._tree)
        if found.revision is None:
            return _work(tenant, failed=found.reason)
        work = _work(tenant, revision=found.revision)
        work.corrected = found.corrected
        if found.revision != self._tree.head:
            return work
        work.outcome = Outcome.MIGRATED
        return work if found.corrected else None


def select_or_refuse(tenants: list[FleetTenant], wanted: Collection[str]) -> list[FleetTenant]:
    """The tenants that were named, or all when none was. Raises UnknownTenant."""
    if not wanted:
        return tenants
    selected, unknown = select_tenants(tenants, wanted)
    if unknown:
        raise UnknownTenant(f"{', '.join(unknown)}: give an id or a slug as `tenants list` shows it.")
    return selected


def _work(tenant: FleetTenant, *, failed: str | None = None, revision: str | None = None) -> Work:
    target = Target(
        tenant.schema, tenant.id, tenant.placement, registered_here=tenant.placement == DEFAULT_PLACEMENT
    )
    work = Work(target, revision or tenant.revision or BASE, tenant)
    if failed is not None:
        work.fail(failed)
    return work
