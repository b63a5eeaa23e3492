"""Says whether a password is one that many have: what is guessed first when a list of breached ones is out.

The list is zxcvbn's, the 30,000 most common of several breaches. Few of them have twelve characters, because
people lengthen a common one when they must. So what is left without the digits and signs around it is looked
up too, and what is said twice counts once. It works without a network: no password, nor a part of its hash,
is sent to anybody.
"""

import string
import unicodedata
from functools import cache
from typing import Final

from zxcvbn.frequency_lists import FREQUENCY_LISTS

# How people write letters as digits and signs.
_LETTERS: Final = str.maketrans("@4301!$57", "aaeoiisst")
_AROUND: Final = string.digits + string.punctuation + string.whitespace
# A shorter word is found in any passphrase.
MIN_WORD_LENGTH: Final = 4
RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "01234567890123456789",
    "1q2w3e4r5t6y7u8i9o0p",
)


def is_common(password: str) -> bool:
    """True for a password of the list, and for one made of a single word of it; the case does not count."""
    folded = unicodedata.normalize("NFKC", password).casefold()
    whole = _once(folded)
    core = _once(folded.strip(_AROUND))
    forms = {folded, whole, core, _once(whole.translate(_LETTERS)), core.translate(_LETTERS)}
    return any(_is_listed(form) or _is_run(form) for form in forms if len(form) >= MIN_WORD_LENGTH)


def _once(text: str) -> str:
    """What a text repeats, or the text: a text that repeats itself is found again in its double."""
    period = (text * 2).find(text, 1)
    return text[:period] if period > 0 else text


def _is_listed(form: str) -> bool:
    return form in _listed()


def _is_run(form: str) -> bool:
    return any(form in run or form in run[::-1] for run in RUNS)


@cache
def _listed() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"])
