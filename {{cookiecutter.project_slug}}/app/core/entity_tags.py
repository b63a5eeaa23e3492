"""Entity tags (RFC 9110, section 13): `ETag` out; `If-Match` and `If-None-Match` in."""

import re
from collections.abc import Collection
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from app.core.errors import BadRequest

# RFC 9110, section 8.8.3. What is no version of ours is a tag all the same, of something that is gone.
_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
# A list may hold empty members (section 5.6.1). One member for each comma: nothing to search twice.
_LIST = re.compile(rf"[ \t]*(?:{_TAG.pattern.replace('?P<weak>', '?:').replace('?P<opaque>', '?:')})?[ \t]*")
# For the OpenAPI document; the field is parsed below, which says more of what is wrong.
_SCHEMA: Final = {"pattern": r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'}
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_MAX_VERSION: Final = 2**31 - 1

Versions = Collection[int]


class InvalidEntityTag(BadRequest):
    slug = "invalid-entity-tag"
    title = "If-Match or If-None-Match holds no entity tags of this API"


def entity_tag(version: int) -> str:
    """The strong tag of a version."""
    return f'"{version}"'


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Whether a client has what `tag` names, by the weak comparison of RFC 9110, section 13.1.2."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return tag in {f'"{known["opaque"]}"' for known in _TAG.finditer(if_none_match)}


def _versions(lines: list[str], *, weak_too: bool) -> frozenset[int] | None:
    """The versions that a field names; None for `*`. Raises InvalidEntityTag."""
    field = ",".join(lines)
    if field.strip() == "*":
        return None
    at = 0
    while True:
        member = _LIST.match(field, at)
        at = member.end() if member else at
        if at == len(field):
            break
        if field[at] != ",":
            raise InvalidEntityTag('Send ETags as you received them, such as "3" or "3", "4", or * alone.')
        at += 1
    tags = list(_TAG.finditer(field))
    if not tags:
        raise InvalidEntityTag('Send at least one ETag, such as "3".')
    found = [tag["opaque"] for tag in tags if weak_too or not tag["weak"]]
    return frozenset(
        int(opaque) for opaque in found if _VERSION.fullmatch(opaque) and int(opaque) <= _MAX_VERSION
    )


def _expected_versions(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(description='The `ETag` you read, such as `"3"`, or several.', json_schema_extra=_SCHEMA),
    ] = None,
) -> Versions | None:
    """Strong comparison (section 13.1.1): a weak tag never matches. None when any version will do."""
    return None if if_match is None else _versions(request.headers.getlist("if-match"), weak_too=False)


def _known_versions(
    request: Request,
    if_none_match: Annotated[
        str | None,
        Header(description="The `ETag` you have: 304 when it is current still.", json_schema_extra=_SCHEMA),
    ] = None,
) -> Versions | None:
    """Weak comparison (section 13.1.2). None for `*`; no version when the field is not there."""
    if if_none_match is None:
        return frozenset()
    return _versions(request.headers.getlist("if-none-match"), weak_too=True)


ExpectedVersions = Annotated[Versions | None, Depends(_expected_versions)]
KnownVersions = Annotated[Versions | None, Depends(_known_versions)]
