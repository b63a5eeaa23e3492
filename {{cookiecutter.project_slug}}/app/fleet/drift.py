"""Compares the registry with the databases: revisions, missing schemas, schemas that nobody owns."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from app.core.context import DEFAULT_PLACEMENT
from app.fleet.connections import connected
from app.fleet.errors import PlacementUnavailable
from app.fleet.registry import (
    FleetTenant,
    read_platform_revision,
    read_schemas,
    read_tenants,
    read_versions,
)
from app.fleet.report import Mismatch, StatusReport

NO_REVISION = "none"


async def read_status(
    owners: Mapping[str, str], *, deep: bool, platform_head: str, head: str
) -> StatusReport:
    """One query on the registry and one on each placement's catalog; `deep` reads every schema besides."""
    async with connected(owners[DEFAULT_PLACEMENT], DEFAULT_PLACEMENT) as connection:
        platform = await read_platform_revision(connection.fetch)
        tenants = await read_tenants(connection.fetch)
    found = _Findings()
    by_placement: dict[str, list[FleetTenant]] = {placement: [] for placement in owners}
    for tenant in tenants:
        by_placement.setdefault(tenant.placement, []).append(tenant)
    for placement, group in by_placement.items():
        # One that is being moved has a second schema, where it goes.
        arriving = {tenant.schema for tenant in tenants if tenant.moving_to == placement}
        await found.look(placement, owners.get(placement), group, arriving=arriving, deep=deep)
    return StatusReport(
        platform=platform,
        platform_head=platform_head,
        head=head,
        revisions=_count(by_placement),
        behind=sum(tenant.revision not in {head, None} for tenant in tenants),
        deep=deep,
        missing_schemas=found.missing,
        stray_schemas=found.stray,
        mismatches=found.mismatches,
        unreachable=found.unreachable,
    )


class _Findings:
    """What is wrong, gathered placement by placement."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.stray: list[str] = []
        self.mismatches: list[Mismatch] = []
        self.unreachable: dict[str, str] = {}

    async def look(
        self,
        placement: str,
        url: str | None,
        tenants: Sequence[FleetTenant],
        *,
        arriving: set[str],
        deep: bool,
    ) -> None:
        if url is None:
            self.unreachable[placement] = f"{len(tenants)} tenants are on it, and it has no URL here"
            return
        try:
            async with connected(url, placement) as connection:
                schemas = await read_schemas(connection)
                versions = await read_versions(connection) if deep else None
        except PlacementUnavailable as error:
            self.unreachable[placement] = str(error)
            return
        self._compare_names(placement, tenants, schemas - arriving)
        if versions is not None:
            for tenant in tenants:
                if tenant.schema in schemas and versions.get(tenant.schema) != tenant.revision:
                    self.mismatches.append(
                        Mismatch(tenant.slug, tenant.revision, versions.get(tenant.schema))
                    )

    def _compare_names(self, placement: str, tenants: Sequence[FleetTenant], schemas: set[str]) -> None:
        for tenant in tenants:
            if tenant.needs_schema and tenant.schema not in schemas:
                self.missing.append(f"{tenant.slug} ({tenant.schema} on {placement})")
        known = {tenant.schema for tenant in tenants}
        self.stray.extend(f"{schema} on {placement}" for schema in sorted(schemas - known))


def _count(by_placement: Mapping[str, Sequence[FleetTenant]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for placement, tenants in by_placement.items():
        found = Counter(tenant.revision or NO_REVISION for tenant in tenants if not tenant.is_gone)
        counts[placement] = dict(sorted(found.items()))
    return dict(counts)
