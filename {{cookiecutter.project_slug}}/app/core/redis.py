"""The Redis (or Valkey) client, made once per process."""

from typing import Final

from redis.asyncio import Redis

# A slow Redis must cost a request less than the rate limiter's own deadline.
CONNECT_TIMEOUT_SECONDS: Final = 1.0
SOCKET_TIMEOUT_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 64


def make_redis(url: str) -> Redis:
    """A client with a bounded pool; connects on first use."""
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        max_connections=MAX_CONNECTIONS,
        health_check_interval=30,
    )
