"""What the command line does to tenants, as it is kept in the trail of operators."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.operators import record_action
from app.tenants.creation import Record


def recorder(action: str, **details: str) -> Record:
    """Writes what the command line did into the trail, in the transaction of the change."""

    async def record(session: AsyncSession, tenant_id: UUID) -> None:
        await record_action(session, action, tenant_id=tenant_id, details=details)

    return record
