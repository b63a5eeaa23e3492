"""What an archive of a tenant says of itself: its last member, by which every other one is checked."""

import hashlib
import json
import re
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.core.validation import Name as DisplayName
from app.tenants.errors import UnusableArchive
from app.tenants.models import Isolation, Plan

FORMAT_VERSION: Final = 1
MEMBER: Final = "manifest.json"
PLAIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# The tenant's own tables, and its rows of shared ones.
Folder = Literal["tables/", "platform/"]
# Whatever PostgreSQL takes for a name.
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00]{1,63}$")]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchivedTenant(_Part):
    """The registry's row, as far as it is of use elsewhere."""

    id: UUID
    slug: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")]
    name: Annotated[DisplayName, Field(min_length=1, max_length=200)]
    state: Literal["active", "suspended", "deleting"]
    plan: Plan
    isolation: Isolation
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,32}$")]


class ArchivedTable(_Part):
    """One member: a table as CSV with a header. `sha256` is of these bytes."""

    table: Name
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]
    rows: Count
    bytes: Count
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Part):
    """`tables` and `platform_tables` stand in the order in which they can be loaded."""

    format: Literal["tenant-archive"] = "tenant-archive"
    format_version: Literal[1] = 1
    created_at: datetime
    server_version: str
    tenant: ArchivedTenant
    tables: tuple[ArchivedTable, ...]
    platform_tables: tuple[ArchivedTable, ...] = ()

    @property
    def members(self) -> dict[str, ArchivedTable]:
        """By the name in the archive, in order."""
        tables = {member_name("tables/", entry.table): entry for entry in self.tables}
        return tables | {member_name("platform/", entry.table): entry for entry in self.platform_tables}

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """Raises UnusableArchive that names the fields."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            raise UnusableArchive("Its manifest is no JSON.") from None
        version = found.get("format_version") if isinstance(found, dict) else None
        if version != FORMAT_VERSION:
            raise UnusableArchive(f"Its format is version {version!r}; this release reads {FORMAT_VERSION}.")
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            faults = {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()[:5]}
            listed = "; ".join(f"{field}: {reason}" for field, reason in faults.items())
            raise UnusableArchive(f"Its manifest is not valid: {listed}") from None


def shown(name: str) -> str:
    """A name for a person to read: an archive may be hostile, and a terminal obeys."""
    return name if PLAIN_NAME.fullmatch(name) else ascii(name)


def member_name(folder: Folder, table: str) -> str:
    """Where a table lies in the archive: under its name, or the digest of one that no file should have."""
    if not PLAIN_NAME.fullmatch(table):
        table = f"-{hashlib.sha256(table.encode()).hexdigest()[:32]}"
    return f"{folder}{table}.csv"
