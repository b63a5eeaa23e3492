"""What many people chose is refused wherever a password is set."""

import pytest

from app.auth.common_passwords import is_common
from app.auth.passwords import WeakPassword, validate_password

COMMON = [
    "password1234",
    "Password2026!",
    "PASSWORD1234",
    "P@ssw0rd2026",
    "qwertyuiop12",
    "1q2w3e4r5t6y",
    "123456789012",
    "abcdefghijkl",
    "!!!dragon2026",
    "iloveyou!!!!1",
    "passwordpassword",
    "monkeymonkey12",
    "ｐａｓｓｗｏｒｄ１２３４",
]


@pytest.mark.parametrize("password", COMMON)
def test_a_common_password_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword, match="most common"):
        validate_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "purple lantern 88",
        "dragon under the bridge",
        "q8Zt-vv2M-8sKa",
        "日本語のパスワード はいい",
    ],
)
def test_a_password_of_ones_own_is_accepted(password: str) -> None:
    validate_password(password)


def test_digits_and_signs_alone_are_no_word() -> None:
    assert not is_common("8402-9913-5577-2064")


@pytest.mark.parametrize("context", ["Blue Harbour Ltd", "blueharbourltd@acme.test"])
def test_a_name_without_its_spaces_is_found(context: str) -> None:
    with pytest.raises(WeakPassword, match="name or email"):
        validate_password("BlueHarbourLtd7", context=[context])
