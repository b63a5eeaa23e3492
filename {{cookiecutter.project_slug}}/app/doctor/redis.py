"""Whether Redis (or Valkey) answers, and keeps what it is given."""

from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from app.core.redis import make_redis
from app.core.settings import Settings
from app.doctor.databases import within
from app.doctor.report import Finding, fail, ok, warn

CHECK: Final = "redis"
KEEPS: Final = "noeviction"


async def look_at_redis(settings: Settings) -> list[Finding]:
    """It holds limits, streams and what was revoked, so it must refuse writes when full, not drop any."""
    url = settings.redis_url.get_secret_value()
    try:
        client, place = make_redis(url), where(url)
    except ValueError:
        return [fail(CHECK, "its URL cannot be read", "percent-encode user and password in APP_REDIS_URL")]
    try:
        await within(client.ping())
        found = await told_by(client)
    except (AuthenticationError, ResponseError) as error:
        todo = "correct user and password in APP_REDIS_URL"
        return [fail(CHECK, f"{place}: refused ({type(error).__name__})", todo)]
    except (RedisError, OSError) as error:
        todo = "start it, or correct APP_REDIS_URL; look at routes, firewalls and TLS (rediss://)"
        return [fail(CHECK, f"{place}: no answer ({type(error).__name__})", todo)]
    finally:
        await client.aclose()
    if not found:
        return [ok(CHECK, f"{place} answers; its user may not ask for version and policy (INFO)")]
    name = str(found.get("server_name", "redis")).capitalize()
    version = found.get(f"{name.lower()}_version") or found.get("redis_version", "of unknown version")
    policy = found.get("maxmemory_policy")
    reached = f"{place} answers, {name} {version}"
    if policy not in {KEEPS, None}:
        return [warn(CHECK, f"{reached}, drops data when full ({policy})", f"set maxmemory-policy {KEEPS}")]
    return [ok(CHECK, f"{reached}, {policy or 'its policy when full is not told'}")]


async def told_by(client: Redis) -> dict[str, Any]:
    """What it says of itself; nothing where the user may not ask."""
    try:
        return dict(await within(client.info()))
    except NoPermissionError:
        return {}


def where(url: str) -> str:
    """Without user and password. Raises ValueError where a part of these would be taken for the host."""
    parsed = urlsplit(url)
    if "@" in f"{parsed.path}{parsed.query}{parsed.fragment}":
        raise ValueError
    if parsed.scheme == "unix":
        return parsed.path
    return f"{parsed.scheme}://{parsed.hostname}:{parsed.port or 6379}"
