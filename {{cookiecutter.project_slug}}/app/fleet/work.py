"""What a runner is given: schemas on their way to head, and the pace."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.fleet.messages import Target
from app.fleet.registry import FleetTenant
from app.fleet.report import Outcome
from app.fleet.script import Phase


@dataclass(frozen=True, slots=True)
class Pace:
    """How many connections to a database, how many tenants in one transaction, and how often one is tried
    alone while what stands in its way may pass."""

    parallel: int = 4
    batch: int = 25
    attempts: int = 8


@dataclass(slots=True, eq=False)
class Work:
    """A schema on its way to head. `tenant` is None for the platform's."""

    target: Target
    revision: str
    tenant: FleetTenant | None = None
    outcome: Outcome | None = None
    seconds: float = 0.0
    attempts: int = 0
    corrections: int = 0
    corrected: bool = False
    reason: str | None = None

    def fail(self, reason: str) -> None:
        self.outcome, self.reason = Outcome.FAILED, reason


@dataclass(frozen=True, slots=True)
class Job:
    """Schemas that go through a phase in one transaction, or one that gets its indexes."""

    phase: Phase
    works: Sequence[Work]
