"""Gives an admin who lost the password a new one, and ends everything that was begun with the old one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import Row, func, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access import ADMIN
from app.auth import service as auth
from app.auth.passwords import PasswordHasher
from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.tenants.creation import Record, find_tenant, generate_password, write_record
from app.tenants.errors import AdminNotFound, TenantMoving, TenantSchemaMissing, TenantStateConflict
from app.tenants.lifecycle import LIVING, publish
from app.tenants.models import Tenant
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import exists, in_schema
from app.users import service as users


class AdminPasswords:
    """Changes with the logins that own the databases."""

    def __init__(self, owners: OwnerDatabases, redis: Redis, *, hasher: PasswordHasher) -> None:
        self._owners = owners
        self._redis = redis
        self._hasher = hasher

    async def reset(self, tenant_id: UUID, email: str, *, record: Record | None = None) -> str:
        """A new generated password of an admin, whose sessions end with the next request; API keys stay.

        `record` shares the transaction of the change; where the tenant lives on another database it is
        committed first, so there may be a row too many and never a change without one. Raises TenantNotFound,
        TenantStateConflict, TenantMoving, TenantSchemaMissing, AdminNotFound.
        """
        password = generate_password()
        password_hash = await self._hasher.hash(password)
        async with self._owners.registry.connect() as connection:
            tenant = await find_tenant(connection, tenant_id)
            _refuse_unfit(tenant)
            if tenant.placement != DEFAULT_PLACEMENT:
                async with connection.begin():
                    async with self._admin(connection, tenant, email):
                        pass
                    await write_record(connection, tenant_id, record)
            async with connection.begin():
                # Holds the row until the end: a move that begins meanwhile would leave this change behind.
                epoch = await self._raise_epoch(connection, tenant)
                async with self._admin(connection, tenant, email) as (session, admin_id):
                    # In this order a login that is under way is either refused or ended.
                    await users.set_password(session, admin_id, password_hash=password_hash)
                    await auth.end_sessions(session, admin_id)
                if tenant.placement == DEFAULT_PLACEMENT:
                    await write_record(connection, tenant_id, record)
        await publish(self._redis, tenant_id, epoch)
        return password

    async def _raise_epoch(self, connection: AsyncConnection, tenant: Row[Any]) -> int:
        """Under a new epoch running processes ask about every session again."""
        statement = (
            update(Tenant)
            .where(
                Tenant.id == tenant.id,
                Tenant.state.in_(LIVING),
                Tenant.placement == tenant.placement,
                Tenant.moving_to.is_(None),
            )
            .values(epoch=Tenant.epoch + 1, updated_at=func.now())
            .returning(Tenant.epoch)
        )
        epoch: int | None = await connection.scalar(statement)
        if epoch is None:
            raise TenantStateConflict("It was changed at the same moment; try again.")
        return epoch

    @asynccontextmanager
    async def _admin(
        self, connection: AsyncConnection, tenant: Row[Any], email: str
    ) -> AsyncIterator[tuple[AsyncSession, UUID]]:
        """A session in the tenant's schema, and the admin's id."""
        schema = tenant_schema(tenant.id)
        async with (
            in_schema(self._owners, connection, tenant.placement, schema) as placed,
            AsyncSession(placed) as session,
        ):
            if not await exists(placed, schema):
                raise TenantSchemaMissing(
                    f"The registry says that it lives on the placement {tenant.placement}, where there is no"
                    f" {schema}. `migrate status` shows which are missing; restore it from a backup."
                )
            # An argument may hold bytes that no database takes.
            admin_id = await users.find_id(session, email, role=ADMIN) if email.isprintable() else None
            if admin_id is None:
                raise AdminNotFound(f"{tenant.slug} has no admin {email!r}.")
            yield session, admin_id
            await session.flush()


def _refuse_unfit(tenant: Row[Any]) -> None:
    if tenant.state not in LIVING:
        raise TenantStateConflict(f"It is {tenant.state}; that needs {' or '.join(LIVING)}.")
    if tenant.moving_to is not None:
        raise TenantMoving
