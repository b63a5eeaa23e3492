"""Liveness asks nothing of anyone; readiness asks PostgreSQL and Redis, within a second each."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy import text

from app.access import GuardedRoute, public
from app.core.database import Database

router = APIRouter(prefix="/health", tags=["health"], route_class=GuardedRoute)
log = structlog.get_logger(__name__)

CHECK_TIMEOUT_SECONDS: Final = 1.0

CheckStatus = Literal["ok", "failed"]


class Liveness(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """`status` is ok when every check is; a failed readiness answers 503."""

    status: CheckStatus
    checks: dict[str, CheckStatus]


@router.get("/live", summary="Is the process alive?")
@public
async def live() -> Liveness:
    """Fails only when the process should be restarted, so it does not look at anything else."""
    return Liveness()


@router.get("/ready", summary="Can it serve requests?", responses={503: {"model": Readiness}})
@public
async def ready(request: Request, response: Response) -> Readiness:
    """A load balancer sends requests only while this answers 200."""
    state = request.app.state
    names = ("database", "redis")
    outcomes = await asyncio.gather(
        _check("database", _reach_database(state.database)), _check("redis", state.redis.ping())
    )
    healthy = all(outcome == "ok" for outcome in outcomes)
    response.status_code = 200 if healthy else 503
    response.headers["Cache-Control"] = "no-store"
    return Readiness(status="ok" if healthy else "failed", checks=dict(zip(names, outcomes, strict=True)))


async def _reach_database(database: Database) -> None:
    """Reads the registry, so that a database without our migrations is not ready."""
    async with database.platform() as session:
        await session.execute(text("SELECT 1 FROM tenants LIMIT 1"))


async def _check(name: str, attempt: Awaitable[object]) -> CheckStatus:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await attempt
    except Exception as error:  # noqa: BLE001  # whatever it is, the answer is "not ready"
        log.warning("readiness_check_failed", check=name, error=type(error).__name__)
        return "failed"
    return "ok"
