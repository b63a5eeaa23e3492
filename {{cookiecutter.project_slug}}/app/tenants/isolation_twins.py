"""Temporary tenants for the isolation proof: rows with the same ids, of which each tells whose it is."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.ids import new_id
from app.core.provisioning import RUNTIME_ROLE
from app.tenants.errors import IsolationProofRunning
from app.tenants.schema import create_schema, drop_schema

Twins = tuple[str, str]

USER_ID: Final = uuid.UUID(int=1)
RESOURCE_IDS: Final = tuple(uuid.UUID(int=number) for number in range(1, 9))
# Any fixed number. It is held for as long as the twins stand, so that whoever holds it may remove others.
PROOF_LOCK: Final = 7_215_303_113
MARK: Final = "temporary tenant of the isolation proof"


@asynccontextmanager
async def temporary_twins(owner_url: str) -> AsyncIterator[tuple[Twins, Twins]]:
    """Two tenants for the proof and two for its control, which no registry knows; removed on leaving.

    What an earlier run left behind when it was killed is removed first. The login must own the database
    and be reached without a pooler. Raises IsolationProofRunning.
    """
    engine = owner_engine(owner_url)
    try:
        async with engine.connect() as lock_holder:
            if not await lock_holder.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": PROOF_LOCK}):
                raise IsolationProofRunning
            await lock_holder.commit()  # The lock belongs to the session; an open transaction would idle.
            await _remove_all(engine)
            try:
                yield await _create_pair(engine), await _create_pair(engine, open_to_login=True)
            finally:
                await _remove_all(engine)
    finally:
        await engine.dispose()


async def rows_by_kind(owner_url: str, schema: str) -> dict[str, tuple[int, int]]:
    """How many resources a twin holds of each kind of request, and how many of those are not its own."""
    query = text(
        "SELECT coalesce(data ->> 'kind', 'shared'), count(*), count(*) FILTER (WHERE name <> :schema)"
        " FROM resources GROUP BY 1"
    )
    engine = owner_engine(owner_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
            return {row[0]: (row[1], row[2]) for row in await connection.execute(query, {"schema": schema})}
    finally:
        await engine.dispose()


async def _create_pair(engine: AsyncEngine, *, open_to_login: bool = False) -> Twins:
    return await _create(engine, open_to_login), await _create(engine, open_to_login)


async def _create(engine: AsyncEngine, open_to_login: bool) -> str:
    """`open_to_login` lets the runtime login in without the tenant's role, as naive routing needs it."""
    schema = tenant_schema(new_id())
    async with engine.begin() as connection:
        await create_schema(connection, schema)
        await connection.execute(text(f"COMMENT ON SCHEMA {schema} IS '{MARK}'"))
        await _fill(connection, schema)
        if open_to_login:
            await connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {RUNTIME_ROLE}"))
            await connection.execute(
                text(f"GRANT SELECT, INSERT, UPDATE ON users, resources TO {RUNTIME_ROLE}")
            )
    return schema


async def _fill(connection: AsyncConnection, schema: str) -> None:
    await connection.execute(
        text("INSERT INTO rbac_policies (id, name, rules) VALUES (:id, 'proof', '[]')"), {"id": new_id()}
    )
    await connection.execute(
        text("INSERT INTO users (id, email, full_name, role) VALUES (:id, :email, :schema, 'proof')"),
        {"id": USER_ID, "email": f"{schema}@proof.test", "schema": schema},
    )
    await connection.execute(
        text("INSERT INTO resources (id, name) VALUES (:id, :schema)"),
        [{"id": resource_id, "schema": schema} for resource_id in RESOURCE_IDS],
    )


async def _remove_all(engine: AsyncEngine) -> None:
    query = text("SELECT nspname FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') = :mark")
    async with engine.begin() as connection:
        for schema in list(await connection.scalars(query, {"mark": MARK})):
            await drop_schema(connection, schema)
