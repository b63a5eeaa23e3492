"""Creates a tenant in recorded steps, and finishes or undoes a creation that was interrupted.

Nobody can log in to a tenant before its last step made it active.
"""

import re
import unicodedata
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.ids import new_id
from app.tenants import operations
from app.tenants.creation import (
    CHOSE_PASSWORD,
    CREDENTIALS_SAVED,
    SLUG_PATTERN,
    Creation,
    CreationTools,
    NewTenant,
    Record,
    Save,
    TenantCredentials,
    claim_slug,
    find_tenant,
)
from app.tenants.models import OperationKind, Plan, Tenant, TenantState
from app.tenants.operations import OperationRef, tenant_locked
from app.tenants.purge import forget
from app.tenants.schema import drop_schema


def slugify(name: str) -> str:
    """A slug for a display name: `Café Zürich` becomes `cafe-zurich`; `first` when no letter survives."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    slug = re.sub(r"^[^a-z]+", "", slug)[:40].strip("-")
    return slug if SLUG_PATTERN.fullmatch(slug) else "first"


class Onboarding:
    """Creates tenants with the logins that own the databases. One object serves many creations at once."""

    def __init__(self, tools: CreationTools) -> None:
        self._tools = tools
        self._owners = tools.owners

    async def create(
        self,
        new: NewTenant,
        *,
        save: Save | None = None,
        password: str | None = None,
        record: Record | None = None,
    ) -> TenantCredentials:
        """Create an active tenant with its admin and an API key. Raises TenantExists, ClusterNotReady.

        `save` gets the credentials before they are committed, so they are never lost: when it raises, the
        admin is not made, and the operation waits to be resumed or cancelled. `password` is the admin's,
        else one is generated. `record` shares the transaction that registers the tenant.
        """
        tenant_id = new_id()
        await self._owners.refuse_unready(new.placement)  # Before anything is written.
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            async with connection.begin():
                await claim_slug(connection, new.slug)
                async with AsyncSession(connection, expire_on_commit=False) as session:
                    await self._register(session, tenant_id, new)
                    if record is not None:
                        await record(session, tenant_id)
                operation = await operations.start(
                    connection,
                    tenant_id,
                    OperationKind.ONBOARD,
                    first_step="schema",
                    parameters={
                        "admin_email": new.admin_email,
                        "requests_per_minute": new.requests_per_minute,
                        CHOSE_PASSWORD: password is not None,
                    },
                )
            creation = Creation(self._tools, tenant_id, new, save=save, password=password)
            await operations.run(connection, operation, creation.steps())
        return creation.finished()

    async def resume(
        self,
        tenant_id: UUID,
        *,
        save: Save | None = None,
        password: str | None = None,
        record: Record | None = None,
    ) -> TenantCredentials | None:
        """Finish an onboarding that was interrupted, and hand out what nobody has got to see yet.

        Nobody could log in so far, so the admin gets a new first key and `password`, else a new one; of who
        signed up, the password they chose is kept. None when `save` was given them before. Raises
        TenantNotFound, NothingToResume, OperationInProgress.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            tenant = await find_tenant(connection, tenant_id)
            operation = await self._take_up(connection, tenant_id, record, OperationKind.ONBOARD)
            new = NewTenant(
                name=tenant.name,
                slug=tenant.slug,
                admin_email=operation.parameters["admin_email"],
                plan=Plan(tenant.plan),
                placement=tenant.placement,
                requests_per_minute=operation.parameters["requests_per_minute"],
            )
            told = operation.parameters
            if operation.step == "activate" and not told.get(CREDENTIALS_SAVED, False):
                operation = replace(operation, step="admin")
            keep = password is None and told.get(CHOSE_PASSWORD, False)
            creation = Creation(self._tools, tenant_id, new, save=save, password=password, keep_password=keep)
            await operations.run(connection, operation, creation.steps())
        return creation.credentials

    async def cancel(self, tenant_id: UUID, *, record: Record | None = None) -> None:
        """Undo an onboarding or import that was interrupted: schema, role and rows are gone afterwards.

        Of a purged tenant that was being imported again, the trace of the purge is left as it was.
        Raises TenantNotFound, NothingToResume, OperationInProgress.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            tenant = await find_tenant(connection, tenant_id)
            operation = await self._take_up(
                connection, tenant_id, record, OperationKind.ONBOARD, OperationKind.IMPORT
            )
            schema = tenant_schema(tenant_id)
            # The tenant's database first: while its registry row stands, this can be repeated.
            if tenant.placement != DEFAULT_PLACEMENT:
                async with self._owners.of(tenant.placement).begin() as placed:
                    await drop_schema(placed, schema)
            async with connection.begin():
                await drop_schema(connection, schema)
                await forget(connection, tenant_id, keep_trace=operation.parameters.get("revives", False))

    async def _take_up(
        self, connection: AsyncConnection, tenant_id: UUID, record: Record | None, *kinds: OperationKind
    ) -> OperationRef:
        async with connection.begin():
            operation = await operations.take_up(connection, tenant_id, *kinds)
            if record is not None:
                async with AsyncSession(connection, expire_on_commit=False) as session:
                    await record(session, tenant_id)
        return operation

    async def _register(self, session: AsyncSession, tenant_id: UUID, new: NewTenant) -> None:
        session.add(
            Tenant(
                id=tenant_id,
                slug=new.slug,
                name=new.name,
                plan=new.plan,
                placement=new.placement,
                state=TenantState.PROVISIONING,
            )
        )
        await session.flush()
