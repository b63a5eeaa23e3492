"""Entity tags for optimistic locking: `ETag: "<version>"` out, `If-Match` in (RFC 9110, section 13.1.1)."""

import re
from typing import Annotated

from fastapi import Depends, Header

from app.core.errors import BadRequest

_STRONG_TAG = re.compile(r'"([1-9][0-9]{0,9})"')


class InvalidEntityTag(BadRequest):
    slug = "invalid-entity-tag"
    title = "If-Match is not an entity tag of this API"


def entity_tag(version: int) -> str:
    """The strong tag of a version."""
    return f'"{version}"'


def _expected_version(
    if_match: Annotated[
        str | None, Header(max_length=32, description='The `ETag` you read, such as `"3"`.')
    ] = None,
) -> int | None:
    if if_match is None or if_match == "*":
        return None
    match = _STRONG_TAG.fullmatch(if_match)
    if match is None:
        raise InvalidEntityTag('Send the ETag as you received it, such as "3", or leave If-Match out.')
    return int(match[1])


ExpectedVersion = Annotated[int | None, Depends(_expected_version)]
