"""Checkpoints: signed, of a type that no token has, and readable after their key was retired."""

import base64
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jose import jws

from app.audit.chain import Link, head
from app.audit.checkpoints import CHECKPOINT_TYPE, CheckpointCodec
from app.audit.errors import InvalidCheckpoint
from app.audit.models import AuditLog
from app.auth.key_folder import generate_key_pair
from app.auth.key_ring import KeyRing, KeyRingError
from app.auth.tokens import InvalidToken, RejectionReason
from tests.conftest import TestOperator, TestTenant

PATH = "/v1/audit/checkpoint"
LINK = Link(7, bytes(range(32)))


@pytest.fixture
def codec(app: FastAPI) -> CheckpointCodec:
    return CheckpointCodec(app.state.key_ring)


@pytest.fixture
def other_ring(tmp_path: Path) -> KeyRing:
    generate_key_pair(tmp_path)
    return KeyRing.load(tmp_path)


async def test_a_tenant_gets_where_its_trail_ends(
    app: FastAPI, codec: CheckpointCodec, tenant: TestTenant
) -> None:
    await tenant.client.post("/v1/resources", json={"name": "x"})
    answer = await tenant.client.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jose")
    assert answer.headers["cache-control"] == "no-store"
    checkpoint = codec.read(answer.text.strip())
    async with app.state.database.tenant(tenant.schema) as session:
        assert checkpoint.link == await head(session, AuditLog)
    assert checkpoint.tenant_id == tenant.id
    assert abs((datetime.now(UTC) - checkpoint.at).total_seconds()) < 60


async def test_a_checkpoint_is_no_credential(
    app: FastAPI, client: httpx.AsyncClient, codec: CheckpointCodec, tenant: TestTenant
) -> None:
    signed = codec.sign(tenant.id, LINK)
    for path in ("/v1/users/me", "/v1/operators/me"):
        answer = await client.get(path, headers={"Authorization": f"Bearer {signed}"})
        assert answer.status_code == 401
    with pytest.raises(InvalidToken) as caught:
        app.state.codec.verify(signed)
    assert caught.value.reason is RejectionReason.TYPE


async def test_no_credential_is_a_checkpoint(
    codec: CheckpointCodec, tenant: TestTenant, operator: TestOperator
) -> None:
    for token in (str(tenant.client.headers["Authorization"]).removeprefix("Bearer "), operator.token):
        with pytest.raises(InvalidCheckpoint, match="refused for its type"):
            codec.read(token)


def signed_as(app: FastAPI, members: dict[str, Any], **headers: Any) -> str:
    key = app.state.key_ring.signing_key
    return str(
        jws.sign(
            members,
            key.prepared,
            headers={"typ": CHECKPOINT_TYPE, "kid": key.kid, **headers},
            algorithm="RS256",
        )
    )


GOOD = {"tenant_id": None, "sequence": 7, "hash": "00" * 32, "at": "2026-11-23T09:30:00+00:00"}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"tenant_id": None, "sequence": 7, "hash": "00" * 32},
        GOOD | {"exp": 1},
        GOOD | {"tenant_id": 5},
        GOOD | {"tenant_id": str(uuid.UUID(int=0)).replace("-", "")},
        GOOD | {"sequence": -1},
        GOOD | {"sequence": "7"},
        GOOD | {"sequence": 2**63},
        GOOD | {"sequence": False},
        GOOD | {"hash": "00" * 31},
        GOOD | {"hash": "zz" * 32},
        GOOD | {"hash": None},
        GOOD | {"at": "yesterday"},
        GOOD | {"at": 5},
    ],
    ids=str,
)
def test_what_says_something_else_is_refused(
    app: FastAPI, codec: CheckpointCodec, members: dict[str, Any]
) -> None:
    assert codec.read(signed_as(app, GOOD)).link == Link(7, bytes(32))
    with pytest.raises(InvalidCheckpoint):
        codec.read(signed_as(app, members))


def test_what_was_changed_or_signed_by_another_is_refused(
    codec: CheckpointCodec, other_ring: KeyRing
) -> None:
    header, payload, signature = codec.sign(None, LINK).split(".")
    members = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(members | {"sequence": 3}).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidCheckpoint, match="signature"):
        codec.read(f"{header}.{forged}.{signature}")
    with pytest.raises(InvalidCheckpoint, match="key"):
        codec.read(CheckpointCodec(other_ring).sign(None, LINK))


def test_a_kept_jwk_set_verifies_what_a_retired_key_signed(app: FastAPI, other_ring: KeyRing) -> None:
    old = CheckpointCodec(other_ring).sign(None, LINK)
    ring: KeyRing = app.state.key_ring.ring
    kept = json.loads(json.dumps(other_ring.jwks()))
    assert CheckpointCodec(ring.trusting(kept)).read(old).link == LINK
    # A name is not believed: with another key under it, it verifies nothing.
    posing = {"keys": [{**ring.jwks()["keys"][0], "kid": other_ring.signing_key.kid}]}
    with pytest.raises(InvalidCheckpoint, match="key"):
        CheckpointCodec(ring.trusting(posing)).read(old)


@pytest.mark.parametrize(
    "jwks",
    [
        [],
        {},
        {"keys": {}},
        {"keys": [{}]},
        {"keys": ["x"]},
        {"keys": [{"kty": "EC", "x": "AA", "y": "AA"}]},
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
        {"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}]},
        {"keys": [{"kty": "RSA", "n": "ü", "e": "AQAB"}]},
    ],
    ids=str,
)
def test_what_is_no_jwk_set_of_strong_keys_is_refused(app: FastAPI, jwks: Any) -> None:
    with pytest.raises(KeyRingError):
        app.state.key_ring.ring.trusting(jwks)
