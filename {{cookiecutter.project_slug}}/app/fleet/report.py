"""What a run did, would do, or found; each has a form for machines."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Outcome(StrEnum):
    MIGRATED = "migrated"
    FAILED = "failed"
    # A canary failed, or the platform did, so these were left alone.
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `done` includes the failed."""

    total: int
    done: int
    failed: int


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class TenantOutcome:
    """One tenant. `seconds` is its share of the transactions it was in; `reason` is there when it failed."""

    id: UUID
    slug: str
    placement: str
    start: str | None
    end: str | None
    outcome: Outcome
    seconds: float
    attempts: int
    reason: str | None = None
    # The registry said something else than the schema, and was corrected.
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class PlatformOutcome:
    """The shared schema, which goes first; `reason` is there when it failed."""

    start: str
    end: str
    seconds: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ApplyReport:
    started_at: datetime
    seconds: float
    head: str
    platform: PlatformOutcome
    canary: int
    tenants: Sequence[TenantOutcome]

    @property
    def totals(self) -> dict[str, int]:
        counted = Counter(tenant.outcome for tenant in self.tenants)
        return {outcome.value: counted[outcome] for outcome in Outcome}

    @property
    def ok(self) -> bool:
        """Whether everything that was due is at head."""
        return self.platform.reason is None and self.totals["migrated"] == len(self.tenants)

    def as_json(self) -> str:
        return _json({"ok": self.ok, "totals": self.totals, **asdict(self)})


@dataclass(frozen=True, slots=True)
class PlannedRevision:
    """A revision that would run; `concurrent` are its statements outside of a transaction."""

    id: str
    file: str
    concurrent: Sequence[str]


@dataclass(frozen=True, slots=True)
class PlannedPath:
    """What would run for all that stand at `start`."""

    start: str
    end: str
    tenants: int
    revisions: Sequence[PlannedRevision]
    sql: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A tenant that apply would report as failed."""

    tenant: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlanReport:
    platform: PlannedPath | None
    tenants: Sequence[PlannedPath]
    at_head: int
    problems: Sequence[Problem]

    def as_json(self) -> str:
        return _json(asdict(self))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The registry's revision against the schema's own; None is none."""

    tenant: str
    registry: str | None
    schema: str | None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """`revisions` counts tenants by placement and revision; the rest is drift, empty when all is well."""

    platform: str | None
    platform_head: str
    head: str
    revisions: dict[str, dict[str, int]]
    behind: int
    deep: bool
    missing_schemas: Sequence[str] = ()
    stray_schemas: Sequence[str] = ()
    mismatches: Sequence[Mismatch] = ()
    unreachable: dict[str, str] = field(default_factory=dict)

    @property
    def drifted(self) -> bool:
        """Whether the registry and the databases disagree. Being behind is no drift."""
        return bool(self.missing_schemas or self.stray_schemas or self.mismatches or self.unreachable)

    def as_json(self) -> str:
        return _json({"drifted": self.drifted, **asdict(self)})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str)
