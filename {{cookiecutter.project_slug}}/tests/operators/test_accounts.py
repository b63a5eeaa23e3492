"""Accounts of operators: what is accepted, and that two creations of one email make one operator."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.errors import AppError
from app.core.settings import Settings, SettingsError, load_settings
from app.operators.errors import InvalidOperator, OperatorExists, OperatorNotFound
from app.operators.models import OperatorState
from app.operators.service import generate_password, operator_accounts_from
from tests.conftest import TestOperator


async def count(database: Database) -> tuple[int, int]:
    async with database.platform() as session:
        query = text("SELECT (SELECT count(*) FROM operators), (SELECT count(*) FROM operator_actions)")
        operators, actions = (await session.execute(query)).one()
    return operators, actions


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("", "a long enough password"),
        ("nobody", "a long enough password"),
        ("a@b", "a long enough password"),
        ("two@x.test,three@x.test", "a long enough password"),
        ("nul\x00@x.test", "a long enough password"),
        (f"{'x' * 300}@x.test", "a long enough password"),
        ("good@x.test", ""),
        ("good@x.test", "short"),
        ("good@x.test", "aaaaaaaaaaaaaaaa"),
        ("a.very.good@x.test", "a.very.good@x.test1"),
    ],
)
async def test_what_is_no_operator_is_refused_and_leaves_nothing(
    settings: Settings, database: Database, email: str, password: str
) -> None:
    before = await count(database)
    with pytest.raises(InvalidOperator):
        await operator_accounts_from(settings).create(email, password)
    assert await count(database) == before


async def test_of_two_creations_at_once_one_wins(settings: Settings, database: Database) -> None:
    operators, actions = await count(database)
    accounts, email = operator_accounts_from(settings), f"Op-{uuid.uuid4().hex}@platform.test"
    outcomes = await asyncio.gather(
        *(
            accounts.create(spelling, generate_password())
            for spelling in (email, email.lower(), email.upper())
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["OperatorExists"] * 2 + ["UUID"]
    assert await count(database) == (operators + 1, actions + 1)


async def test_what_changes_nothing_is_not_in_the_trail(
    settings: Settings, database: Database, operator: TestOperator
) -> None:
    before = await count(database)
    accounts = operator_accounts_from(settings)
    refusals: list[tuple[Any, type[AppError]]] = [
        (accounts.create(operator.email, generate_password()), OperatorExists),
        (accounts.set_state("nobody@x.test", OperatorState.DISABLED), OperatorNotFound),
        (accounts.reset_password("nobody@x.test", generate_password()), OperatorNotFound),
        (accounts.reset_password(operator.email, "short"), InvalidOperator),
    ]
    for work, error in refusals:
        with pytest.raises(error):
            await work
    assert await count(database) == before


def test_the_two_audiences_must_differ(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    with pytest.raises(SettingsError, match="APP_OPERATOR_AUDIENCE must differ"):
        load_settings(**{**values, "operator_audience": settings.jwt_audience})
    with pytest.raises(SettingsError, match="APP_OPERATOR_TOKEN_TTL_SECONDS"):
        load_settings(**{**values, "operator_token_ttl_seconds": 901})
