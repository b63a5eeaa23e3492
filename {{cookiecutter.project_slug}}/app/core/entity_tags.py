"""Entity tags (RFC 9110): `If-Match` for optimistic locking, `If-None-Match` for what a client has."""

import re
from typing import Annotated

from fastapi import Depends, Header

from app.core.errors import BadRequest

# RFC 9110, section 8.8.3. What is no version of ours is a tag all the same, of something that is gone.
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_VERSION_TAG = re.compile(r'"([1-9][0-9]{0,9})"')
_MAX_VERSION = 2**31 - 1
_NEVER_CURRENT = 0


class InvalidEntityTag(BadRequest):
    slug = "invalid-entity-tag"
    title = "If-Match is not an entity tag of this API"


def entity_tag(version: int) -> str:
    """The strong tag of a version."""
    return f'"{version}"'


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Whether a client has what `tag` names, by the weak comparison of RFC 9110, section 13.1.2."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return tag in {known.removeprefix("W/") for known in _TAG.findall(if_none_match)}


def _expected_version(
    if_match: Annotated[str | None, Header(description='The `ETag` you read, such as `"3"`.')] = None,
) -> int | None:
    if if_match is None or if_match == "*":
        return None
    if not _TAG.fullmatch(if_match):
        raise InvalidEntityTag('Send the ETag as you received it, such as "3", or leave If-Match out.')
    version = _VERSION_TAG.fullmatch(if_match)
    return int(version[1]) if version and int(version[1]) <= _MAX_VERSION else _NEVER_CURRENT


ExpectedVersion = Annotated[int | None, Depends(_expected_version)]
