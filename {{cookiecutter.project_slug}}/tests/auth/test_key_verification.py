"""Verifying API keys: what is remembered and where, what guessing costs, and how soon a revocation acts."""

import asyncio
import hmac
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from app.auth import authenticator
from app.auth.api_key_format import ALPHABET, generate, parse
from app.auth.errors import InvalidAPIKey
from app.auth.passwords import PasswordHasher
from app.auth.verified_secrets import VerifiedSecrets, proof_key
from app.core.database import Database
from app.core.epochs import principal_epoch_key
from app.core.ids import new_id
from app.core.settings import Settings
from app.embedded import start_valkey, stop_valkey
from app.main import create_app
from app.tenants.bootstrap import lifecycle_from
from tests.auth.keys import KEYS, another_secret, holder_of, make_key, slug, status_of
from tests.auth.test_api_key_format import with_checksum
from tests.conftest import MakeTenant, TestTenant, client_of, tenant_maker
from tests.work import counted_work

NOWHERE = SecretStr("redis://127.0.0.1:1/0")


@asynccontextmanager
async def another_process(settings: Settings, **change: Any) -> AsyncIterator[FastAPI]:
    """The service with empty caches."""
    app = create_app(settings.model_copy(update=change))
    async with app.router.lifespan_context(app):
        yield app


@contextmanager
def counted_verifications() -> Iterator[list[str]]:
    """The secrets that bcrypt was asked about."""
    asked: list[str] = []
    original = PasswordHasher._verify

    def counting(self: PasswordHasher, password: str, stored: str | None) -> Any:
        asked.append(password)
        return original(self, password, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PasswordHasher, "_verify", counting)
        yield asked


async def proofs(app: FastAPI, tenant: TestTenant) -> list[bytes]:
    return [key async for key in app.state.redis.scan_iter(match=f"api-key:{{{tenant.id.hex}}}:*")]


async def test_a_warm_key_costs_no_more_trips_than_a_token(app: FastAPI, tenant: TestTenant) -> None:
    async with holder_of(app, tenant.credentials.api_key) as client:
        for _ in range(3):
            await client.get("/v1/resources")
        with counted_work() as work:
            assert (await client.get("/v1/resources")).status_code == 200
    assert work.trips == ["redis", "BEGIN", "SELECT", "COMMIT"]


async def test_another_process_takes_what_bcrypt_accepted_from_redis(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    key = tenant.credentials.api_key
    with counted_verifications() as asked:
        assert await status_of(app, key) == 200
        async with another_process(settings) as other:
            assert await status_of(other, key) == 200
    assert len(asked) == 1


async def test_redis_holds_no_part_of_a_key_and_no_right(app: FastAPI, tenant: TestTenant) -> None:
    key = tenant.credentials.api_key
    assert await status_of(app, key) == 200
    (name,) = await proofs(app, tenant)
    value = await app.state.redis.get(name)
    assert 0 < await app.state.redis.ttl(name) <= 900
    assert len(value) == 32, "a MAC and nothing else"
    parsed = parse(key, "app")
    for part in (key, key.split("_")[2], parsed.secret, parsed.key_id.hex, str(parsed.key_id)):
        assert part.encode() not in name + value


async def test_whoever_writes_to_redis_makes_no_principal(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    """With more than Redis gives away: the digests of keys that were never accepted."""
    key = tenant.credentials.api_key
    assert await status_of(app, key) == 200
    (name,) = await proofs(app, tenant)
    good = await app.state.redis.get(name)
    unknown = generate("app", live=False, tenant_id=tenant.id, key_id=new_id()).plaintext
    async with another_process(settings) as other:
        for forged in (another_secret(key), unknown):
            digest = digest_of(other, forged)
            for value in (good, bytes(32), b"", b'{"role": "admin"}'):
                await other.state.redis.set(proof_key(tenant.id, digest), value)
                assert await status_of(other, forged) == 401


def digest_of(app: FastAPI, key: str) -> bytes:
    """As the service makes it, which takes its secret."""
    return hmac.digest(app.state.authenticator._keys._digest_key, key.encode(), "sha256")


async def test_an_entry_with_a_wrong_mac_is_logged_and_bcrypt_decides(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    key = tenant.credentials.api_key
    assert await status_of(app, key) == 200
    (name,) = await proofs(app, tenant)
    await app.state.redis.set(name, bytes(32))
    async with another_process(settings) as other:
        with structlog.testing.capture_logs() as logs, counted_verifications() as asked:
            assert await status_of(other, key) == 200
    assert "verified_secret_forged" in [line["event"] for line in logs]
    assert len(asked) == 1
    assert await app.state.redis.get(name) != bytes(32), "and the right one stands there again"


async def test_a_revoked_key_stays_revoked_whatever_redis_remembers(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    """Its entry is put back and its epoch is deleted: the database has the last word."""
    key = await make_key(tenant.client)
    assert await status_of(app, key) == 200
    (name,) = await proofs(app, tenant)
    kept = await app.state.redis.get(name)
    await tenant.client.delete(f"{KEYS}/{key['id']}")
    await app.state.redis.set(name, kept)
    await app.state.redis.delete(principal_epoch_key(tenant.id, uuid.UUID(key["id"])))
    async with another_process(settings) as other:
        assert await status_of(other, key) == 401


async def test_without_redis_a_process_asks_bcrypt_once(settings: Settings, tenant: TestTenant) -> None:
    async with another_process(settings, redis_url=NOWHERE) as app:
        with counted_verifications() as asked:
            for _ in range(3):
                assert await status_of(app, tenant.credentials.api_key) == 200
                app.state.authenticator._keys._principals._entries.clear()  # What 30 seconds do.
        assert len(asked) == 1


@pytest.mark.parametrize("act", ["revoke", "rotate"])
async def test_the_end_of_a_key_acts_on_the_next_request_in_another_process(
    app: FastAPI, settings: Settings, tenant: TestTenant, act: str
) -> None:
    async with another_process(settings) as other:
        for _ in range(3):
            key = await make_key(tenant.client)
            assert [await status_of(each, key) for each in (app, other)] == [200, 200]
            if act == "revoke":
                await tenant.client.delete(f"{KEYS}/{key['id']}")
            else:
                await tenant.client.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_seconds": 0})
            assert [await status_of(each, key) for each in (other, app)] == [401, 401]


async def test_with_redis_away_a_revocation_acts_within_seconds(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authenticator.OUTAGE_TTL_SECONDS <= 5
    monkeypatch.setattr(authenticator, "OUTAGE_TTL_SECONDS", 0.5)
    valkey = start_valkey(tmp_path / "valkey", persistent=False)
    try:
        async with (
            another_process(settings, redis_url=SecretStr(valkey.url())) as here,
            another_process(settings, redis_url=SecretStr(valkey.url())) as there,
            tenant_maker(here) as make,
        ):
            tenant = await make()
            key, other = await make_key(tenant.client), await make_key(tenant.client)
            for each in (here, there):
                assert [await status_of(each, one) for one in (key, other)] == [200, 200]
            stop_valkey(tmp_path / "valkey")
            assert [await status_of(each, key) for each in (here, there)] == [200, 200]
            assert (await tenant.client.delete(f"{KEYS}/{key['id']}")).status_code == 204
            revoked_at = time.monotonic()
            while {await status_of(each, key) for each in (here, there)} != {401}:
                assert time.monotonic() - revoked_at < 2
                await asyncio.sleep(0.05)
            assert [await status_of(each, other) for each in (here, there)] == [200, 200]
    finally:
        stop_valkey(tmp_path / "valkey")


@pytest.mark.parametrize("used_meanwhile", [True, False])
async def test_a_redis_that_comes_back_empty_brings_back_no_key_and_no_session(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used_meanwhile: bool
) -> None:
    """Ended while Redis was away, and used with another process meanwhile or not."""
    monkeypatch.setattr(authenticator, "OUTAGE_TTL_SECONDS", 0.2)
    valkey = start_valkey(tmp_path / "valkey", persistent=False)
    try:
        async with (
            another_process(settings, redis_url=SecretStr(valkey.url())) as here,
            another_process(settings, redis_url=SecretStr(valkey.url())) as there,
            tenant_maker(here) as make,
            AsyncExitStack() as stack,
        ):
            tenant = await make()
            key = await make_key(tenant.client)
            session = await stack.enter_async_context(client_of(there))
            session.headers["Authorization"] = tenant.client.headers["Authorization"]

            async def statuses() -> set[int]:
                return {await status_of(there, key), (await session.get("/v1/resources")).status_code}

            assert await statuses() == {200}
            stop_valkey(tmp_path / "valkey")
            await tenant.client.delete(f"{KEYS}/{key['id']}")
            assert (await tenant.client.delete("/v1/auth/sessions")).status_code == 204
            if used_meanwhile:
                assert await statuses() == {401}
                await here.state.epochs.close()
            assert start_valkey(tmp_path / "valkey", persistent=False).url() == valkey.url()
            if not used_meanwhile:
                deadline = time.monotonic() + 5
                while here.state.epochs._missed:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
            there.state.limiter._retry_at = 0.0  # What a second does.
            with counted_work() as work:
                assert await statuses() == {401}
            assert "redis" in work.trips, "which answers again"
    finally:
        stop_valkey(tmp_path / "valkey")


def wrong_keys(key: str, count: int) -> list[str]:
    return [another_secret(key) for _ in range(count)]


async def test_guesses_at_a_known_id_cost_few_verifications(app: FastAPI, tenant: TestTenant) -> None:
    key = await make_key(tenant.client)
    async with holder_of(app, key) as holder:
        with counted_verifications() as asked:
            async with client_of(app) as guesser:
                answers = [
                    await guesser.get("/v1/resources", headers={"X-API-Key": guess})
                    for guess in wrong_keys(key["api_key"], 20)
                ]
                assert {(answer.status_code, slug(answer)) for answer in answers} == {
                    (401, "invalid-api-key")
                }
                assert len(asked) == 5
                at_once = await asyncio.gather(
                    *(status_of(app, guess) for guess in wrong_keys(key["api_key"], 40))
                )
            assert set(at_once) == {401}
            assert len(asked) == 20, "however many addresses they come from"
        other = await make_key(tenant.client)
        assert await status_of(app, other) == 200, "another key is another matter"
        assert (await holder.get("/v1/resources")).status_code == 401, "nobody had used it, and it is cold"


async def test_guessing_does_not_lock_out_whoever_uses_the_key(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    key = await make_key(tenant.client)
    async with another_process(settings) as other, holder_of(other, key) as holder:
        assert await status_of(app, key) == 200
        for guess in wrong_keys(key["api_key"], 30):
            assert await status_of(other, guess) == 401
        with counted_verifications() as asked:
            for _ in range(3):
                assert (await holder.get("/v1/resources")).status_code == 200
                other.state.authenticator._keys._principals._entries.clear()  # What 30 seconds do.
        assert asked == []


async def test_one_guesser_does_not_lock_out_a_cold_key_elsewhere(app: FastAPI, tenant: TestTenant) -> None:
    key = await make_key(tenant.client)
    async with client_of(app) as guesser:
        for guess in wrong_keys(key["api_key"], 30):
            await guesser.get("/v1/resources", headers={"X-API-Key": guess})
        cold = await guesser.get("/v1/resources", headers={"X-API-Key": key["api_key"]})
        assert cold.status_code == 401
    assert await status_of(app, key) == 200


async def test_unknown_revoked_and_expired_ids_never_reach_bcrypt(
    app: FastAPI, database: Database, tenant: TestTenant
) -> None:
    revoked, expired = await make_key(tenant.client), await make_key(tenant.client)
    await tenant.client.delete(f"{KEYS}/{revoked['id']}")
    async with database.tenant(tenant.schema) as session:
        change = "created_at = now() - interval '2 d', expires_at = now() - interval '1 d'"
        await session.execute(text(f"UPDATE api_keys SET {change} WHERE id = :id"), {"id": expired["id"]})
    ids = [(tenant.id, new_id()), (new_id(), parse(revoked["api_key"], "app").key_id), (new_id(), new_id())]
    unknown = [generate("app", live=False, tenant_id=one, key_id=other).plaintext for one, other in ids]
    with counted_verifications() as asked:
        for key in (revoked["api_key"], expired["api_key"], *unknown):
            assert await status_of(app, key) == 401
    assert asked == []


async def test_ids_swapped_between_tenants_open_neither(
    app: FastAPI, tenant: TestTenant, stranger: TestTenant
) -> None:
    """With the checksum put right, so that the database and bcrypt have to refuse."""
    mine, theirs = await make_key(tenant.client), await make_key(stranger.client)
    own, other = parse(mine["api_key"], "app"), parse(theirs["api_key"], "app")
    for tenant_id, key_id, secret in (
        (other.tenant_id, own.key_id, own.secret),
        (own.tenant_id, other.key_id, own.secret),
        (other.tenant_id, other.key_id, own.secret),
        (own.key_id, own.tenant_id, own.secret),
    ):
        head = generate("app", live=False, tenant_id=tenant_id, key_id=key_id).plaintext.rsplit("_", 1)[0]
        assert await status_of(app, with_checksum(f"{head}_{secret}")) == 401
    assert await status_of(app, with_checksum(mine["api_key"][:-6])) == 200, "put together it is the key"


@pytest.fixture
async def known(app: FastAPI, make_tenant: MakeTenant) -> str:
    key = (await make_tenant()).credentials.api_key
    assert await status_of(app, key) == 200
    return key


async def test_a_bad_text_costs_no_trip_and_is_401(app: FastAPI, known: str) -> None:
    rng = random.Random(4711)
    place = rng.randrange(len(known))
    letter = ALPHABET[(ALPHABET.find(known[place]) + 1) % 62]
    digits = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    for bad in (
        known[:-1],
        known[:40],
        known + "0",
        known + " \t0",
        known[:place] + letter + known[place + 1 :],
        known.swapcase(),
        known.translate(digits),
        known.translate(wide),
        with_checksum(known[:-6].translate(digits)),
        known.replace("_", "-"),
        f"{known},{known}",
        known * 100,
        "\xff" * 92,
    ):
        async with client_of(app) as client:
            with counted_work() as work:
                answer = await client.get("/v1/resources", headers={b"X-API-Key": bad.encode()})
        assert (bad, answer.status_code) == (bad, 401)
        assert work.trips == ["redis"], "which charges the address"


@given(st.binary(max_size=120))
async def test_no_bytes_make_the_service_stumble(app: FastAPI, sent: bytes) -> None:
    verifier = app.state.authenticator._keys
    with pytest.raises(InvalidAPIKey):
        await verifier.verify(sent.decode("latin-1"), "203.0.113.7")


async def test_a_key_before_many_wrong_ones_is_not_forgotten(app: FastAPI, known: str) -> None:
    async with holder_of(app, known) as holder:
        with counted_verifications() as asked:
            for wrong in wrong_keys(known, 20):
                await status_of(app, wrong)
            assert (await holder.get("/v1/resources")).status_code == 200
        assert known.split("_")[3][:32] not in asked


async def test_a_purge_leaves_nothing_of_keys_in_redis(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    key = await make_key(tenant.client)
    assert await status_of(app, key) == 200
    await tenant.client.delete(f"{KEYS}/{key['id']}")
    await app.state.epochs.roles_changed(tenant.id)
    left = {name.decode() for name in await everything(app, tenant)}
    assert {
        f"epoch:{{{tenant.id.hex}}}:roles",
        f"epoch:{{{tenant.id.hex}}}:principal:{uuid.UUID(key['id']).hex}",
    } <= left
    assert any(name.startswith("api-key:") for name in left)
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
        assert await status_of(app, key) == 401
        assert await everything(app, tenant) == []


async def test_a_purge_during_a_verification_leaves_nothing_either(
    app: FastAPI, settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was searched already when the process writes down what bcrypt said."""
    original = VerifiedSecrets.remember

    async def late(self: VerifiedSecrets, *facts: Any) -> None:
        async with lifecycle_from(settings) as (lifecycle, purge):
            await lifecycle.schedule_deletion(tenant.id)
            assert (await purge.run(tenant.id, before_grace_ends=True)).none
        await original(self, *facts)

    monkeypatch.setattr(VerifiedSecrets, "remember", late)
    assert await status_of(app, tenant.credentials.api_key) == 401
    assert await everything(app, tenant) == []


async def everything(app: FastAPI, tenant: TestTenant) -> list[bytes]:
    return [key async for key in app.state.redis.scan_iter(match=f"*{tenant.id.hex}*")]
