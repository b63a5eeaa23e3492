"""Loaded by schemathesis: each request has an address of its own, or limits by address would end the run."""

import itertools
from typing import Any

import schemathesis

ADDRESSES = itertools.count(1)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    number = next(ADDRESSES)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
