"""The text of an API key: a round trip, and every way to be no key."""

import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.api_key_format import ALPHABET, KEY_PATTERN, MalformedKey, generate, parse

TENANT = UUID("22222222-2222-4222-8222-222222222222")
KEY = UUID("33333333-3333-4333-8333-333333333333")
BRAND = "acme"

brands = st.from_regex(r"[a-z][a-z0-9]{1,11}", fullmatch=True)


def good_key() -> str:
    return generate(BRAND, live=True, tenant_id=TENANT, key_id=KEY).plaintext


def base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, remainder = divmod(number, 62)
        digits = ALPHABET[remainder] + digits
    return digits


def with_checksum(head: str) -> str:
    return head + base62(zlib.crc32(head.encode()), 6)


@given(brand=brands, live=st.booleans(), tenant_id=st.uuids(), key_id=st.uuids())
def test_every_generated_key_parses_to_what_it_was_made_of(
    brand: str, live: bool, tenant_id: UUID, key_id: UUID
) -> None:
    key = generate(brand, live=live, tenant_id=tenant_id, key_id=key_id)
    parsed = parse(key.plaintext, brand)
    assert (parsed.tenant_id, parsed.key_id, parsed.secret) == (tenant_id, key_id, key.secret)


@pytest.mark.parametrize("edge", [UUID(int=0), UUID(int=2**128 - 1), UUID(int=1)], ids=str)
def test_the_smallest_and_the_largest_ids_survive(edge: UUID) -> None:
    for tenant_id, key_id in ((edge, KEY), (TENANT, edge), (edge, edge)):
        parsed = parse(generate(BRAND, live=False, tenant_id=tenant_id, key_id=key_id).plaintext, BRAND)
        assert (parsed.tenant_id, parsed.key_id) == (tenant_id, key_id)


def test_a_key_has_the_promised_shape() -> None:
    live = good_key()
    test = generate(BRAND, live=False, tenant_id=TENANT, key_id=KEY).plaintext
    assert live.startswith("acme_live_")
    assert test.startswith("acme_test_")
    assert KEY_PATTERN.fullmatch(live)
    assert KEY_PATTERN.fullmatch(test)
    assert len(live) == len("acme_live_") + 43 + 1 + 32 + 6


def test_no_two_keys_share_a_secret() -> None:
    assert len({generate(BRAND, live=True, tenant_id=TENANT, key_id=KEY).secret for _ in range(200)}) == 200


def test_what_is_displayed_gives_no_part_of_the_secret_away() -> None:
    key = generate(BRAND, live=True, tenant_id=TENANT, key_id=KEY)
    ids = key.plaintext.split("_")[2]
    assert key.display_prefix == f"acme_live_…{ids[-6:]}"


def test_a_secret_is_not_in_a_representation() -> None:
    key = generate(BRAND, live=True, tenant_id=TENANT, key_id=KEY)
    assert key.secret not in repr(key)
    assert key.secret not in repr(parse(key.plaintext, BRAND))


def test_the_refusal_never_repeats_the_key() -> None:
    key = good_key()
    with pytest.raises(MalformedKey) as caught:
        parse(key[:-1] + ("0" if key[-1] != "0" else "1"), BRAND)
    assert key[-38:-6] not in str(caught.value)


@given(data=st.data())
def test_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    key = good_key()
    at = data.draw(st.integers(0, len(key) - 1))
    character = data.draw(st.characters().filter(lambda other: other != key[at]))
    with pytest.raises(MalformedKey):
        parse(key[:at] + character + key[at + 1 :], BRAND)


@given(at=st.integers(0, 90))
def test_two_neighbors_changed_over_are_noticed(at: int) -> None:
    key = good_key()
    swapped = key[:at] + key[at : at + 2][::-1] + key[at + 2 :]
    if swapped != key:
        with pytest.raises(MalformedKey):
            parse(swapped, BRAND)


@given(text=st.text(max_size=150))
def test_no_text_makes_parsing_raise_anything_else(text: str) -> None:
    with pytest.raises(MalformedKey):
        parse(text, BRAND)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "acme", "acme_live_", "\ud800", "acme_live__", "Bearer x", "x" * 1_000_000],
    ids=["empty", "newline", "brand", "head", "surrogate", "underscores", "bearer", "huge"],
)
def test_text_that_is_no_key_is_malformed(text: str) -> None:
    with pytest.raises(MalformedKey):
        parse(text, BRAND)


@pytest.mark.parametrize(
    ("before", "after"), [(" ", ""), ("", " "), ("", "\n"), ("", "0"), ("\ufeff", ""), ("", "\0")]
)
def test_nothing_may_surround_a_key(before: str, after: str) -> None:
    with pytest.raises(MalformedKey):
        parse(before + good_key() + after, BRAND)


def test_another_brands_key_is_refused() -> None:
    with pytest.raises(MalformedKey):
        parse(good_key(), "other")
    with pytest.raises(MalformedKey):
        parse(good_key(), "acm")


def test_a_right_checksum_does_not_save_a_wrong_form() -> None:
    ids, secret = base62(TENANT.int << 128 | KEY.int, 43), "s" * 32
    assert parse(with_checksum(f"acme_live_{ids}_{secret}"), BRAND).key_id == KEY
    wrong = [
        f"acme_prod_{ids}_{secret}",
        f"acme_LIVE_{ids}_{secret}",
        f"ACME_live_{ids}_{secret}",
        f"acme_live_{ids[1:]}_{secret}",
        f"acme_live_{ids}_{secret[1:]}",
        f"acme_live_{ids}_{secret}s",
        f"acme_live_{ids}-{secret}",
        f"acme_live_{ids}_{'ſ' * 32}",
        f"acme_live_{ids}_{'٣' * 32}",
    ]
    for head in wrong:
        with pytest.raises(MalformedKey):
            parse(with_checksum(head), BRAND)


def test_ids_beyond_two_uuids_are_refused() -> None:
    largest = with_checksum(f"acme_live_{base62(2**256 - 1, 43)}_{'s' * 32}")
    beyond = with_checksum(f"acme_live_{base62(2**256, 43)}_{'s' * 32}")
    assert parse(largest, BRAND).tenant_id.int == 2**128 - 1
    with pytest.raises(MalformedKey):
        parse(beyond, BRAND)


@pytest.mark.parametrize("brand", ["", "a", "Acme", "1acme", "ac_me", "ac-me", "a" * 13, "acmé", "acme\n"])
def test_a_brand_that_could_not_be_parsed_back_is_refused(brand: str) -> None:
    with pytest.raises(ValueError, match="not a brand"):
        generate(brand, live=True, tenant_id=TENANT, key_id=KEY)
