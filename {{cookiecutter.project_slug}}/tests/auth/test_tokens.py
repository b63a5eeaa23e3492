"""What a token codec must refuse, attack by attack, and the one shape that it accepts."""

import base64
import hmac
import json
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st
from jose import jws
from jose.backends.cryptography_backend import CryptographyRSAKey

from app.auth.key_folder import generate_key_pair
from app.auth.key_ring import KeyRing
from app.auth.tokens import LEEWAY, MAX_TOKEN_BYTES, InvalidToken, TokenCodec
from app.auth.tokens import RejectionReason as Reason

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SUBJECT = UUID("11111111-1111-4111-8111-111111111111")
TENANT = UUID("22222222-2222-4222-8222-222222222222")
MISSING = ...  # With the same name in every process, as the names of tests must be.
EPOCH_NOW = int(NOW.timestamp())
SESSION = UUID("33333333-3333-4333-8333-333333333333")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    generate_key_pair(directory)
    return directory


@pytest.fixture(scope="module")
def ring(directory: Path) -> KeyRing:
    return KeyRing.load(directory)


@pytest.fixture(scope="module")
def codec(ring: KeyRing) -> TokenCodec:
    return TokenCodec(ring, issuer="issuer", audience="audience", ttl_seconds=900)


@pytest.fixture(scope="module")
def stranger() -> Any:
    """A good key that is not in the ring."""
    return generate_private_key(public_exponent=65537, key_size=2048)


Forge = Callable[..., str]


@pytest.fixture(scope="module")
def forge(ring: KeyRing) -> Forge:
    """Any header over any payload, properly signed by the current key unless `sign` says otherwise."""

    def make(
        *,
        header: dict[str, Any] | None = None,
        raw_header: bytes | None = None,
        raw_payload: bytes | None = None,
        sign: Callable[[bytes], bytes] = ring.signing_key.prepared.sign,
        **claims: Any,
    ) -> str:
        members = {"alg": "RS256", "typ": "at+jwt", "kid": ring.signing_key.kid, **(header or {})}
        body = good_claims() | claims
        head = raw_header if raw_header is not None else dump(members)
        payload = raw_payload if raw_payload is not None else dump(body)
        signing_input = f"{encode(head)}.{encode(payload)}"
        return f"{signing_input}.{encode(sign(signing_input.encode()))}"

    return make


def good_claims() -> dict[str, Any]:
    return {
        "iss": "issuer",
        "aud": "audience",
        "sub": str(SUBJECT),
        "tid": str(TENANT),
        "role": "admin",
        "sid": str(SESSION),
        "jti": "one",
        "iat": EPOCH_NOW,
        "exp": EPOCH_NOW + 900,
    }


def dump(members: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in members.items() if value is not MISSING}).encode()


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refusal(codec: TokenCodec, token: str, now: datetime = NOW) -> Reason:
    with pytest.raises(InvalidToken) as caught:
        codec.verify(token, now)
    return caught.value.reason


def test_an_issued_token_verifies_to_what_was_issued(codec: TokenCodec) -> None:
    claims = codec.verify(codec.issue(SUBJECT, TENANT, "admin", NOW, session_id=SESSION), NOW)
    assert (claims.subject, claims.tenant_id, claims.role) == (SUBJECT, TENANT, "admin")
    assert (claims.issued_at, claims.expires_at) == (NOW, NOW + 900 * SECOND)
    assert (claims.session_id, claims.actor) == (SESSION, None)


def test_the_forger_of_these_tests_makes_good_tokens_by_default(codec: TokenCodec, forge: Forge) -> None:
    assert codec.verify(forge(), NOW).jti == "one"


def test_no_two_tokens_share_an_id(codec: TokenCodec) -> None:
    ids = {
        codec.verify(codec.issue(SUBJECT, TENANT, "admin", NOW, session_id=SESSION), NOW).jti
        for _ in range(20)
    }
    assert len(ids) == 20


def test_an_unknown_claim_is_ignored(codec: TokenCodec, forge: Forge) -> None:
    assert codec.verify(forge(scope="everything", admin=True), NOW).role == "admin"


@pytest.mark.parametrize(
    "alg",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS256",
        "RS384",
        "PS256",
        "ES256",
        "rs256",
        None,
        1,
        ["RS256"],
        MISSING,
    ],
)
def test_any_other_algorithm_is_refused(codec: TokenCodec, forge: Forge, alg: Any) -> None:
    assert refusal(codec, forge(header={"alg": alg})) is Reason.ALGORITHM


def test_an_unsigned_token_is_refused(codec: TokenCodec, forge: Forge) -> None:
    stripped = forge(header={"alg": "none"}).rsplit(".", 1)[0]
    assert refusal(codec, stripped + ".") is Reason.MALFORMED
    assert refusal(codec, stripped + ".AA") is Reason.ALGORITHM
    assert refusal(codec, forge().rsplit(".", 1)[0] + ".") is Reason.MALFORMED


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
@pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_the_public_key_is_no_hmac_secret(
    codec: TokenCodec, ring: KeyRing, forge: Forge, alg: str, form: serialization.Encoding
) -> None:
    public = ring.signing_key.prepared.prepared_key.public_key()
    secret = public.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    token = forge(header={"alg": alg}, sign=lambda message: hmac.digest(secret, message, "sha256"))
    assert refusal(codec, token) in {Reason.ALGORITHM, Reason.SIGNATURE}


@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "rt+jwt", "", None, 1, ["at+jwt"], MISSING])
def test_any_other_type_is_refused(codec: TokenCodec, forge: Forge, typ: Any) -> None:
    assert refusal(codec, forge(header={"typ": typ})) is Reason.TYPE


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "unknown",
        "../../etc/passwd",
        "current.pem",
        "' OR 1=1 --",
        "\x00",
        "\ud800",
        0,
        True,
        None,
        [],
        {},
    ],
)
def test_a_key_id_outside_the_ring_is_refused(codec: TokenCodec, forge: Forge, kid: Any) -> None:
    assert refusal(codec, forge(header={"kid": kid})) is Reason.KEY


def test_a_token_that_names_no_key_is_refused(codec: TokenCodec, forge: Forge) -> None:
    assert refusal(codec, forge(header={"kid": MISSING})) is Reason.HEADER


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
    ids=str,
)
def test_a_header_with_anything_more_is_refused(
    codec: TokenCodec, forge: Forge, extra: dict[str, Any]
) -> None:
    assert refusal(codec, forge(header=extra)) is Reason.HEADER


def test_an_embedded_key_is_never_used(codec: TokenCodec, forge: Forge, stranger: Any) -> None:
    key = CryptographyRSAKey(stranger, "RS256")
    public: Any = CryptographyRSAKey(stranger.public_key(), "RS256")
    embedded = public.to_dict()
    assert refusal(codec, forge(header={"jwk": embedded}, sign=key.sign)) is Reason.HEADER


def test_a_strangers_signature_under_our_key_id_is_refused(
    codec: TokenCodec, forge: Forge, stranger: Any
) -> None:
    assert refusal(codec, forge(sign=CryptographyRSAKey(stranger, "RS256").sign)) is Reason.SIGNATURE


def test_a_signature_does_not_carry_over_to_other_claims(codec: TokenCodec, forge: Forge) -> None:
    header, _, signature = forge().split(".")
    payload = encode(dump(good_claims() | {"role": "owner"}))
    assert refusal(codec, f"{header}.{payload}.{signature}") is Reason.SIGNATURE


def test_a_token_is_too_large_before_it_is_anything_else(
    codec: TokenCodec, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    assert refusal(codec, forge(padding="x" * MAX_TOKEN_BYTES)) is Reason.OVERSIZED
    assert refusal(codec, "." * 2_000_000) is Reason.OVERSIZED


def test_a_token_just_within_the_size_is_read(codec: TokenCodec) -> None:
    assert refusal(codec, "a" * MAX_TOKEN_BYTES) is Reason.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.a.b",
        "\ud800.a.b",
        "a.b.c\n",
        " a.b.c",
        "[].[].[]",
        "null",
    ],
)
def test_text_that_is_no_token_is_malformed(codec: TokenCodec, text: str) -> None:
    assert refusal(codec, text) is Reason.MALFORMED


def test_an_encrypted_token_is_malformed(codec: TokenCodec, forge: Forge) -> None:
    assert refusal(codec, forge() + ".AAAA.AAAA") is Reason.MALFORMED


@pytest.mark.parametrize("suffix", ["=", "==", "!", "\n", " ", "%00", "\x00"])
@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_token_has_one_spelling_only(codec: TokenCodec, forge: Forge, segment: int, suffix: str) -> None:
    parts = forge().split(".")
    parts[segment] += suffix
    assert refusal(codec, ".".join(parts)) is Reason.MALFORMED


def test_stray_bits_behind_the_signature_are_refused(codec: TokenCodec, forge: Forge) -> None:
    token = forge()
    # 256 bytes leave four unused bits in the last character: A, Q, g and w are the only canonical ends.
    assert token[-1] in "AQgw"
    assert refusal(codec, token[:-1] + chr(ord(token[-1]) + 1)) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_name_twice_in_the_header_is_malformed(
    codec: TokenCodec, ring: KeyRing, forge: Forge, name: str
) -> None:
    header = dump({"alg": "RS256", "typ": "at+jwt", "kid": ring.signing_key.kid})
    doubled = b'{"%s": "none", ' % name.encode() + header[1:]
    assert refusal(codec, forge(raw_header=doubled)) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["tid", "exp", "role", "unknown"])
def test_a_name_twice_in_the_claims_is_malformed(codec: TokenCodec, forge: Forge, name: str) -> None:
    doubled = b'{"%s": 1, ' % name.encode() + dump(good_claims() | {"unknown": 2})[1:]
    assert refusal(codec, forge(raw_payload=doubled)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"1",
        b'"text"',
        b"null",
        b"{",
        b"{}x",
        b"\xff",
        b"[" * 3000,
        b'{"a":' * 800,
        b'{"x": 1' + b"0" * 5000 + b"}",
    ],
    ids=lambda payload: payload[:8].decode("latin-1"),
)
def test_claims_that_are_no_json_object_are_malformed(
    codec: TokenCodec, forge: Forge, payload: bytes
) -> None:
    assert refusal(codec, forge(raw_payload=payload)) is Reason.MALFORMED
    assert refusal(codec, forge(raw_header=payload)) is Reason.MALFORMED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_json_in_any_encoding_but_utf_8_is_malformed(codec: TokenCodec, forge: Forge, encoding: str) -> None:
    assert (
        refusal(codec, forge(raw_payload=dump(good_claims()).decode().encode(encoding))) is Reason.MALFORMED
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_malformed(codec: TokenCodec, forge: Forge, value: float) -> None:
    assert refusal(codec, forge(exp=value)) is Reason.MALFORMED


@pytest.mark.parametrize("name", sorted(good_claims()))
@pytest.mark.parametrize("value", [MISSING, None, True, False, "", [], {}, 1.5, [1], {"a": 1}], ids=repr)
def test_every_claim_is_required_and_has_its_type(
    codec: TokenCodec, forge: Forge, name: str, value: Any
) -> None:
    assert refusal(codec, forge(**{name: value})) is Reason.CLAIMS


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "someone else"},
        {"aud": "another api"},
        {"aud": ["audience"]},
        {"aud": ["audience", "another api"]},
        {"sub": SUBJECT.hex},
        {"sub": f"{{{SUBJECT}}}"},
        {"sub": f"urn:uuid:{SUBJECT}"},
        {"tid": "ABCDEF12-1111-4111-8111-111111111111"},
        {"tid": 7},
        {"role": "r" * 64},
        {"sid": SESSION.hex},
        {"sid": 7},
        {"jti": "j" * 65},
        {"exp": str(EPOCH_NOW + 900)},
        {"exp": float(EPOCH_NOW + 900)},
        {"exp": 10**30},
        {"iat": -(10**30)},
        {"exp": EPOCH_NOW},
        {"exp": EPOCH_NOW - 1},
        {"nbf": True},
        {"nbf": None},
        {"nbf": str(EPOCH_NOW)},
        {"nbf": EPOCH_NOW + 60},
        {"iat": EPOCH_NOW + 60},
    ],
    ids=str,
)
def test_a_claim_with_a_wrong_value_is_refused(
    codec: TokenCodec, forge: Forge, claims: dict[str, Any]
) -> None:
    assert refusal(codec, forge(**claims)) is Reason.CLAIMS


def test_the_leeway_is_exact_and_small(codec: TokenCodec, forge: Forge) -> None:
    expiry = NOW + 900 * SECOND
    assert timedelta(0) <= LEEWAY <= 30 * SECOND
    assert codec.verify(forge(), expiry + LEEWAY - SECOND)
    assert refusal(codec, forge(), expiry + LEEWAY) is Reason.EXPIRED
    assert codec.verify(forge(), NOW - LEEWAY)
    assert refusal(codec, forge(), NOW - LEEWAY - SECOND) is Reason.CLAIMS
    assert codec.verify(forge(nbf=EPOCH_NOW), NOW - LEEWAY)


def test_the_last_and_the_first_moment_do_not_break_arithmetic(codec: TokenCodec, forge: Forge) -> None:
    last = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())
    assert codec.verify(forge(exp=last), NOW).expires_at.year == 9999
    assert refusal(codec, forge(iat=-62135596800, exp=-62135596799)) is Reason.EXPIRED


def test_a_retired_key_verifies_until_its_file_is_gone(
    directory: Path, codec: TokenCodec, tmp_path: Path
) -> None:
    token = codec.issue(SUBJECT, TENANT, "admin", NOW, session_id=SESSION)
    generate_key_pair(tmp_path)
    (tmp_path / "retired-1.pem").write_bytes((directory / "current.pem").read_bytes())
    (tmp_path / "retired-1.pem").chmod(0o600)
    rotated = TokenCodec(KeyRing.load(tmp_path), issuer="issuer", audience="audience", ttl_seconds=900)
    assert rotated.verify(token, NOW).subject == SUBJECT
    assert refusal(codec, rotated.issue(SUBJECT, TENANT, "admin", NOW, session_id=SESSION)) is Reason.KEY
    (tmp_path / "retired-1.pem").unlink()
    forgetful = TokenCodec(KeyRing.load(tmp_path), issuer="issuer", audience="audience", ttl_seconds=900)
    assert refusal(forgetful, token) is Reason.KEY


def test_the_refusal_says_nothing_of_the_token(codec: TokenCodec, forge: Forge) -> None:
    with pytest.raises(InvalidToken) as caught:
        codec.verify(forge(iss="attacker-text"), NOW)
    assert str(caught.value) == "invalid token: claims"
    assert caught.value.__cause__ is None


def test_verification_uses_public_keys_only(codec: TokenCodec, forge: Forge) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # python-jose warns when it is made to verify with a private key.
        codec.verify(forge(), NOW)


@given(text=st.text(max_size=200))
def test_no_text_makes_the_codec_raise_anything_else(codec: TokenCodec, text: str) -> None:
    refusal(codec, text)


@given(data=st.data())
def test_no_token_survives_a_changed_character(codec: TokenCodec, forge: Forge, data: st.DataObject) -> None:
    token = forge()
    at = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda other: other != token[at]))
    refusal(codec, token[:at] + character + token[at + 1 :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(good_claims() | {"nbf": 0})), value=json_values)
def test_no_signed_value_makes_the_codec_raise_anything_else(
    codec: TokenCodec, forge: Forge, name: str, value: Any
) -> None:
    try:
        codec.verify(forge(**{name: value}), NOW)
    except InvalidToken:
        return
    # Free text (role, jti), numbers (epoch) and times in range are all that has more than one good value.
    free = {"role", "jti", "epoch", "iat", "exp", "nbf"}
    assert name in free or value == good_claims()[name]


def test_python_jose_itself_agrees_on_the_signature(codec: TokenCodec, ring: KeyRing) -> None:
    token = codec.issue(SUBJECT, TENANT, "admin", NOW, session_id=SESSION)
    payload = jws.verify(token, ring.jwks(), algorithms=["RS256"])
    assert json.loads(payload)["tid"] == str(TENANT)


def test_a_key_of_ours_verifies_under_its_own_id_only(directory: Path, tmp_path: Path, forge: Forge) -> None:
    """The key is picked by `kid`; that another one of the ring would fit is no reason to try it."""
    generate_key_pair(tmp_path)
    (tmp_path / "next.pem").write_bytes((directory / "current.pem").read_bytes())
    (tmp_path / "next.pem").chmod(0o600)
    both = KeyRing.load(tmp_path)
    codec = TokenCodec(both, issuer="issuer", audience="audience", ttl_seconds=900)
    assert codec.verify(forge(), NOW).jti == "one"
    assert refusal(codec, forge(header={"kid": both.signing_key.kid})) is Reason.SIGNATURE
    assert refusal(codec, forge(sign=both.signing_key.prepared.sign)) is Reason.SIGNATURE


@pytest.mark.parametrize(
    "header", [{"alg": "RS256 "}, {"alg": {"RS256": 1}}, {"kid": 10**40}, {"typ": 2**70}]
)
def test_a_header_of_odd_values_is_refused_and_breaks_nothing(
    codec: TokenCodec, forge: Forge, header: dict[str, Any]
) -> None:
    assert refusal(codec, forge(header=header)) in {Reason.ALGORITHM, Reason.KEY, Reason.TYPE}
