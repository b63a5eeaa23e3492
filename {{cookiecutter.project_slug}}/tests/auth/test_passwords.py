"""Passwords: what is accepted, that hashing stays off the event loop, and that damage means no."""

import asyncio
import threading
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.passwords import (
    MAX_LENGTH,
    MIN_LENGTH,
    PasswordHasher,
    VerifyResult,
    WeakPassword,
    normalize,
    validate_password,
)

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(rounds=4, workers=2)
    yield hasher
    hasher.close()


@pytest.fixture
def stronger() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(rounds=5, workers=1)
    yield hasher
    hasher.close()


async def test_a_hash_verifies_its_password_and_no_other(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await hasher.verify(PASSWORD, stored) == VerifyResult(valid=True)
    assert await hasher.verify(PASSWORD + " ", stored) == VerifyResult(valid=False)
    assert await hasher.verify("", stored) == VerifyResult(valid=False)


async def test_a_hash_is_salted_bcrypt_over_sha256(hasher: PasswordHasher) -> None:
    first, second = await asyncio.gather(hasher.hash(PASSWORD), hasher.hash(PASSWORD))
    assert first != second
    assert first.startswith("$bcrypt-sha256$v=2,t=2b,r=4$")


async def test_bytes_beyond_the_72nd_count(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("a" * 72 + "b")
    assert (await hasher.verify("a" * 72 + "b", stored)).valid
    assert not (await hasher.verify("a" * 72 + "c", stored)).valid
    assert not (await hasher.verify("a" * 72, stored)).valid


async def test_what_follows_a_zero_byte_counts(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("before\0after")
    assert not (await hasher.verify("before\0other", stored)).valid


async def test_two_ways_to_type_one_password_are_the_same(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(unicodedata.normalize("NFC", "Señorita Ångström"))
    assert (await hasher.verify(unicodedata.normalize("NFD", "Señorita Ångström"), stored)).valid


async def test_an_unknown_user_costs_a_real_verification(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    genuine = hasher._context.verify

    def verify(secret: str, stored: str) -> bool:
        verified.append(stored)
        return bool(genuine(secret, stored))

    monkeypatch.setattr(hasher._context, "verify", verify)
    assert await hasher.verify(PASSWORD, None) == VerifyResult(valid=False)
    assert len(verified) == 1
    assert ",r=4$" in verified[0]


async def test_the_hash_nobody_knows_is_well_formed_at_every_cost() -> None:
    for rounds in (4, 10):
        hasher = PasswordHasher(rounds=rounds, workers=1)
        assert f",r={rounds}$" in hasher._dummy_hash
        assert not hasher._context.verify("", hasher._dummy_hash)
        assert not hasher._context.needs_update(hasher._dummy_hash)
        hasher.close()


async def test_a_weaker_hash_is_renewed_on_success_only(
    hasher: PasswordHasher, stronger: PasswordHasher
) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await stronger.verify("wrong", stored) == VerifyResult(valid=False)
    result = await stronger.verify(PASSWORD, stored)
    assert result.valid
    assert result.new_hash is not None
    assert ",r=5$" in result.new_hash
    assert await stronger.verify(PASSWORD, result.new_hash) == VerifyResult(valid=True)


async def test_a_stronger_hash_is_never_weakened(hasher: PasswordHasher, stronger: PasswordHasher) -> None:
    stored = await stronger.hash(PASSWORD)
    assert await hasher.verify(PASSWORD, stored) == VerifyResult(valid=True)


@pytest.mark.parametrize(
    "stored", ["", "nonsense", "!", "$2b$04$", "$bcrypt-sha256$v=2,t=2b,r=4$short$short", "\ud800"]
)
async def test_a_damaged_hash_is_a_no(hasher: PasswordHasher, stored: str) -> None:
    assert await hasher.verify(PASSWORD, stored) == VerifyResult(valid=False)


@pytest.mark.parametrize(
    "password", ["\ud800", "x" * 5000, "\ufdfa" * 1000], ids=["surrogate", "long", "expanding"]
)
async def test_text_that_no_hash_can_be_of_is_a_no(hasher: PasswordHasher, password: str) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await hasher.verify(password, stored) == VerifyResult(valid=False)
    assert await hasher.verify(password, None) == VerifyResult(valid=False)


async def test_work_is_done_in_a_bounded_number_of_threads(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: set[str] = set()
    genuine = hasher._context.hash

    def hash_(secret: str) -> str:
        names.add(threading.current_thread().name)
        return str(genuine(secret))

    monkeypatch.setattr(hasher._context, "hash", hash_)
    await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(12)))
    assert threading.main_thread().name not in names
    assert all(name.startswith("bcrypt") for name in names)
    assert len(names) <= 2


async def test_the_event_loop_goes_on_while_threads_hash() -> None:
    hasher = PasswordHasher(rounds=10, workers=1)
    task = asyncio.ensure_future(hasher.hash(PASSWORD))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    hasher.close()
    assert turns > 10


async def test_an_api_key_secret_can_be_hashed_too(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("0" * 32)
    assert (await hasher.verify("0" * 32, stored)).valid
    assert not (await hasher.verify("0" * 31 + "1", stored)).valid


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "twelve chars", "日本語のパスワード はいい", "🐎🔋📎🐎🔋📎🐎🔋📎🐎🔋🌲", "plum kite" * 14],
)
def test_length_is_all_that_is_asked(password: str) -> None:
    validate_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "x1y2z3" * 2 + "\n",
        "with a \0 in the middle",
        "escape \x1b[31m sequence",
        "lone \ud800 surrogate",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "abcde fghij" + "k" * MAX_LENGTH,
    ],
    ids=repr,
)
def test_an_unacceptable_password_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        validate_password(password)


def test_length_is_counted_after_normalization() -> None:
    validate_password("ﬃ" * 3 + "xyz")  # One ligature is three letters.
    with pytest.raises(WeakPassword):
        validate_password("ﷺ" * 8 + "x")  # One ligature is eighteen.


@pytest.mark.parametrize("context", ["ada.lovelace", "ADA.LOVELACE", "ａｄａ.lovelace"])
def test_a_password_made_of_the_name_is_refused(context: str) -> None:
    with pytest.raises(WeakPassword, match="name or email"):
        validate_password("Ada.Lovelace1843", context=[context])


def test_a_short_name_or_a_small_part_is_no_reason() -> None:
    validate_password("adamant shipyard clock", context=["ada", "", "ship"])


def test_the_message_never_repeats_the_password() -> None:
    with pytest.raises(WeakPassword) as caught:
        validate_password("hunter2")
    assert "hunter2" not in str(caught.value)


@given(password=st.text(max_size=200))
def test_every_text_is_either_accepted_or_weak(password: str) -> None:
    try:
        validate_password(password)
    except WeakPassword:
        return
    assert MIN_LENGTH <= len(normalize(password)) <= MAX_LENGTH
    normalize(password).encode()


async def test_whatever_is_accepted_can_be_hashed(hasher: PasswordHasher) -> None:
    for password in ("🐎" * 60 + "abcdefgh", "ﬃ" * 40 + "wxyz"):
        validate_password(password)
        assert (await hasher.verify(password, await hasher.hash(password))).valid
