"""Which key files are accepted, what is published of them, and that keys are made once."""

import base64
import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.auth.key_folder import bundle, generate_key_pair, read_folder
from app.auth.key_ring import KeyRing, KeyRingError, thumbprint


@pytest.fixture(scope="module")
def keys() -> list[rsa.RSAPrivateKey]:
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]


def private_pem(key: Any, encryption: serialization.KeySerializationEncryption | None = None) -> bytes:
    content: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return content


def public_pem(key: Any) -> bytes:
    content: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return content


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_thumbprint_is_the_one_of_rfc_7638() -> None:
    # The example of section 3.1.
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_current_key_signs_and_all_keys_verify(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    write(tmp_path / "next.pem", private_pem(keys[1]))
    write(tmp_path / "retired-2026-01.pem", public_pem(keys[2]), mode=0o644)
    ring = KeyRing.load(tmp_path)
    kids = [key["kid"] for key in ring.jwks()["keys"]]
    assert len(set(kids)) == 3
    assert kids[0] == ring.signing_key.kid
    signature = ring.signing_key.prepared.sign(b"message")
    verdicts = []
    for kid in kids:
        key = ring.verification_key(kid)
        assert key is not None
        assert key.prepared.is_public()
        verdicts.append(key.prepared.verify(b"message", signature))
    assert verdicts == [True, False, False]


def test_one_key_in_two_files_is_published_once(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    write(tmp_path / "retired-1.pem", public_pem(keys[0]))
    assert len(KeyRing.load(tmp_path).jwks()["keys"]) == 1


def test_only_public_members_are_published(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    write(tmp_path / "next.pem", private_pem(keys[1]))
    write(tmp_path / "retired-1.pem", private_pem(keys[2]))
    for key in KeyRing.load(tmp_path).jwks()["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")
        members = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        digest = hashlib.sha256(members.encode()).digest()
        assert key["kid"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_changing_a_published_set_does_not_change_the_ring(
    tmp_path: Path, keys: list[rsa.RSAPrivateKey]
) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    ring = KeyRing.load(tmp_path)
    ring.jwks()["keys"][0]["n"] = "AQAB"
    assert ring.jwks()["keys"][0]["n"] != "AQAB"


def test_an_unknown_key_id_is_none(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    assert KeyRing.load(tmp_path).verification_key("../current.pem") is None


def test_without_a_current_key_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match=r"current\.pem: missing; .*keys generate"):
        KeyRing.load(tmp_path)


@pytest.mark.parametrize("name", ["current.pem", "next.pem", "retired-1.pem"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_private_key_that_others_may_touch_is_refused(
    tmp_path: Path, keys: list[rsa.RSAPrivateKey], name: str, mode: int
) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    path = write(tmp_path / name, private_pem(keys[1]), mode)
    with pytest.raises(KeyRingError, match=f"{mode:04o} lets others") as caught:
        KeyRing.load(tmp_path)
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_of_the_owner_alone_is_accepted(
    tmp_path: Path, keys: list[rsa.RSAPrivateKey], mode: int
) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]), mode)
    assert KeyRing.load(tmp_path).signing_key


WRONG: dict[str, Callable[[], Any]] = {
    "1024 bits": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "exponent": lambda: rsa.generate_private_key(public_exponent=3, key_size=2048),
    "not an RSA key": lambda: ec.generate_private_key(ec.SECP256R1()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("complaint", sorted(WRONG))
def test_a_weak_or_foreign_key_is_refused_in_every_place(
    tmp_path: Path, keys: list[rsa.RSAPrivateKey], complaint: str
) -> None:
    wrong = WRONG[complaint]()
    write(tmp_path / "current.pem", private_pem(wrong))
    with pytest.raises(KeyRingError, match=complaint):
        KeyRing.load(tmp_path)
    write(tmp_path / "current.pem", private_pem(keys[0]))
    for content in (private_pem(wrong), public_pem(wrong)):
        write(tmp_path / "retired-1.pem", content)
        with pytest.raises(KeyRingError, match=rf"retired-1\.pem.*{complaint}"):
            KeyRing.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
@pytest.mark.parametrize("name", ["current.pem", "next.pem", "retired-1.pem"])
def test_a_file_without_a_key_is_named(
    tmp_path: Path, keys: list[rsa.RSAPrivateKey], name: str, content: bytes
) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    write(tmp_path / name, content)
    with pytest.raises(KeyRingError, match=name):
        KeyRing.load(tmp_path)


def test_an_encrypted_key_is_refused(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0], serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(KeyRingError, match="unencrypted"):
        KeyRing.load(tmp_path)


def test_a_public_key_cannot_be_current(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", public_pem(keys[0]))
    with pytest.raises(KeyRingError, match=r"current\.pem"):
        KeyRing.load(tmp_path)


def test_a_generated_key_is_private_and_loads(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "keys"
    assert generate_key_pair(directory)
    assert stat.S_IMODE((directory / "current.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.name for path in directory.iterdir()] == ["current.pem"]
    assert KeyRing.load(directory).signing_key.prepared.prepared_key.key_size >= 2048


def test_a_generated_key_is_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_key_pair(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "current.pem").stat().st_mode) == 0o600


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    write(tmp_path / "current.pem", b"precious")
    assert not generate_key_pair(tmp_path)
    assert (tmp_path / "current.pem").read_bytes() == b"precious"


def test_the_remains_of_a_crash_do_not_stop_the_next_run(tmp_path: Path) -> None:
    write(tmp_path / f".current.pem.{os.getpid()}", b"half a key")
    assert generate_key_pair(tmp_path)
    assert KeyRing.load(tmp_path).signing_key


def test_concurrent_callers_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: generate_key_pair(tmp_path), range(4)))
    assert sum(written) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["current.pem"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        generate_key_pair(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys_in_a_variable_are_the_keys_of_the_folder(tmp_path: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    write(tmp_path / "current.pem", private_pem(keys[0]))
    write(tmp_path / "next.pem", private_pem(keys[1]))
    write(tmp_path / "retired-2026-01.pem", public_pem(keys[2]), mode=0o644)
    folder, variable = KeyRing.load(tmp_path), KeyRing.from_files(json.loads(bundle(read_folder(tmp_path))))
    assert variable.jwks() == folder.jwks()
    assert variable.signing_key.kid == folder.signing_key.kid


@pytest.mark.parametrize("name", ["current.pem", "next.pem", "retired-1.pem"])
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024), "1024 bits"),
        (lambda: rsa.generate_private_key(public_exponent=3, key_size=2048), "exponent is too small"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "not an RSA key"),
    ],
    ids=["short", "exponent", "curve"],
)
def test_a_weak_key_in_a_variable_is_refused(
    keys: list[rsa.RSAPrivateKey], make: Callable[[], Any], fault: str, name: str
) -> None:
    files = {"current.pem": private_pem(keys[0]).decode(), name: private_pem(make()).decode()}
    with pytest.raises(KeyRingError, match=f"APP_JWT_KEYS: {name}: .*{fault}"):
        KeyRing.from_files(files)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"current.pem": "zebra"},
        {"current.pem": ""},
        {"current.pem": "GOOD", "next.pem": "zebra"},
        {"current.pem": "GOOD", "zebra.pem": "GOOD"},
        {"current.pem": "GOOD", "../retired-1.pem": "GOOD"},
    ],
)
def test_malformed_keys_in_a_variable_are_refused_and_never_repeated(
    keys: list[rsa.RSAPrivateKey], files: dict[str, str]
) -> None:
    good = private_pem(keys[0]).decode()
    with pytest.raises(KeyRingError, match="APP_JWT_KEYS: ") as refusal:
        KeyRing.from_files({name: good if text == "GOOD" else text for name, text in files.items()})
    assert "zebra" not in str(refusal.value)
    assert "PRIVATE" not in str(refusal.value)
