"""A rotation while a real service of two processes is used: nobody is refused, and nobody notices."""

import asyncio
import base64
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.auth.key_folder import generate_key_pair, key_file
from app.auth.key_ring import KeyRing
from app.auth.rotation import RETIRED_FOR
from app.core.settings import Settings
from app.embedded.ports import free_port
from tests.commands import run_command, start_interpreter
from tests.conftest import MakeTenant, TestTenant, command_environment

PATIENCE_SECONDS = 60.0
VISITORS = 4


class Visitor:
    """Logs in, refreshes and calls, with the newest token and with every one it ever had."""

    def __init__(self, base_url: str, tenant: TestTenant) -> None:
        self._base_url, self._tenant = base_url, tenant
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.tokens: dict[str, str] = {}  # The first of each key, and the newest, by the key that signed.

    async def visit(self, until: asyncio.Event) -> None:
        # A connection for each call, so that calls reach both processes.
        async with httpx.AsyncClient(
            base_url=self._base_url, timeout=PATIENCE_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:  # fmt: skip
            pair = await self._tokens(client, "/v1/auth/login", self._tenant.login)
            while not until.is_set():
                pair = await self._tokens(
                    client, "/v1/auth/refresh", {"refresh_token": pair["refresh_token"]}
                )
                for token in {pair["access_token"], *self.tokens.values()}:
                    headers = {"Authorization": f"Bearer {token}"}
                    self._note(await client.get("/v1/resources", headers=headers))

    async def _tokens(self, client: httpx.AsyncClient, path: str, body: dict[str, str]) -> Any:
        # From another address each time: how often one may log in is not what is tested.
        address = f"10.9.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        answer = self._note(await client.post(path, json=body, headers={"X-Forwarded-For": address}))
        assert answer.status_code == 200, answer.text
        self.tokens.setdefault(signer_of(answer.json()["access_token"]), answer.json()["access_token"])
        return answer.json()

    def _note(self, answer: httpx.Response) -> httpx.Response:
        self.answers[f"{answer.request.url.path} {answer.status_code}"] += 1
        if answer.status_code != 200:
            self.wrong.append(f"{answer.request.url.path} {answer.status_code}: {answer.text}")
        return answer


def signer_of(token: str) -> str:
    header = token.split(".", maxsplit=1)[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    generate_key_pair(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
async def base_url(settings: Settings, keys: Path, tmp_path: Path) -> AsyncIterator[str]:
    """A service of two processes, as `app serve` starts it."""
    port = free_port()
    environment = command_environment(settings) | {
        "APP_JWT_KEYS_DIR": str(keys), "APP_PORT": str(port), "APP_WORKERS": "2",
        "APP_TRUSTED_PROXY_COUNT": "1", "APP_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    process = start_interpreter("serve", cwd=tmp_path, **environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(int(PATIENCE_SECONDS * 10)):
                assert process.poll() is None, process.communicate()
                try:
                    if (await client.get("/health/live")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
        assert "Traceback" not in said


async def published(base_url: str) -> set[str]:
    """Each process answers now and then."""
    async with httpx.AsyncClient(base_url=base_url) as client:
        answer = await client.get("/.well-known/jwks.json", headers={"Connection": "close"})
    return {key["kid"] for key in answer.json()["keys"]}


async def until_published(base_url: str, kids: set[str]) -> None:
    """Until many answers in a row agree, so that both processes do."""
    agreed, deadline = 0, asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while agreed < 30:
        assert asyncio.get_running_loop().time() < deadline, await published(base_url)
        agreed = agreed + 1 if await published(base_url) == kids else 0
        await asyncio.sleep(0.02)


async def until_signed_by(visitors: list[Visitor], kid: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not all(kid in visitor.tokens for visitor in visitors):
        assert asyncio.get_running_loop().time() < deadline, [visitor.wrong for visitor in visitors]
        await asyncio.sleep(0.05)


async def rotate(keys: Path, *options: str) -> Any:
    arguments = ("keys", "rotate", "--directory", str(keys), "--json", *options)
    finished = await asyncio.to_thread(run_command, *arguments)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.nightly
async def test_nobody_is_refused_while_keys_are_rotated(
    base_url: str, keys: Path, make_tenant: MakeTenant
) -> None:
    old = KeyRing.load(keys).signing_key.kid
    visitors = [Visitor(base_url, await make_tenant()) for _ in range(VISITORS)]
    done = asyncio.Event()
    visits = [asyncio.create_task(visitor.visit(done)) for visitor in visitors]
    try:
        await until_signed_by(visitors, old)
        new = (await rotate(keys))["kids"][0]
        await until_published(base_url, {old, new})
        assert not any(new in visitor.tokens for visitor in visitors)
        await rotate(keys, "--now")
        await until_signed_by(visitors, new)
        counted = [visitor.answers["/v1/resources 200"] for visitor in visitors]
        await asyncio.sleep(6)  # Longer than a process takes to see it: both sign with the new key.
        assert all(
            visitor.answers["/v1/resources 200"] > before
            for visitor, before in zip(visitors, counted, strict=True)
        )
        await until_published(base_url, {old, new})
    finally:
        done.set()
        ended = await asyncio.gather(*visits, return_exceptions=True)
    assert ended == [None] * VISITORS
    assert [visitor.wrong for visitor in visitors] == [[]] * VISITORS
    assert [set(visitor.tokens) for visitor in visitors] == [{old, new}] * VISITORS
    await drop(base_url, keys, visitors, old, new)


async def drop(base_url: str, keys: Path, visitors: list[Visitor], old: str, new: str) -> None:
    """Once its tokens have run out the old key goes: what it signed is refused, remembered or not."""
    path = keys / f"retired-{old}.pem"
    long_ago = datetime.now(UTC) - RETIRED_FOR - timedelta(seconds=1)
    path.write_text(key_file(path.read_text().split("\n", 1)[1], long_ago).content)
    assert (await rotate(keys))["kids"] == [old]
    await until_published(base_url, {new})
    async with httpx.AsyncClient(
        base_url=base_url, limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:
        for visitor in visitors:
            for kid, expected in ((old, 401), (new, 200)):
                for _ in range(4):
                    headers = {"Authorization": f"Bearer {visitor.tokens[kid]}"}
                    assert (await client.get("/v1/resources", headers=headers)).status_code == expected
