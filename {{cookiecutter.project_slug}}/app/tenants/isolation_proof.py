"""Proves that no request sees or changes another tenant's rows, and that the proof would have noticed.

Two tenants hold rows with the same ids. Mixed requests of both share small pools, where each connection
goes from tenant to tenant. Then a control does the same with naive routing, which must leak.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any, Final

from app.core.settings import Pooler
from app.tenants.isolation_routing import NaiveRouting, Routing, ServiceRouting
from app.tenants.isolation_twins import Twins, rows_by_kind, temporary_twins
from app.tenants.isolation_workload import SHARES, Tally, mixed_kinds, run_requests

POOL_SIZES: Final = (1, 2, 3, 4)
CONTROL_SHARE: Final = 20
MIN_CONTROL_REQUESTS: Final = 200

Progress = Callable[[str, int, int], None]


class Verdict(StrEnum):
    """`inconclusive` is no proof: the control did not leak, or requests failed for another reason."""

    NO_LEAK = "no leak"
    LEAK = "leak"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Phase:
    """The requests on one pool."""

    pool_size: int
    seconds: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Report:
    """What the proof and its control found. `foreign_rows` are rows that lie in the wrong schema."""

    pooler: Pooler
    seed: int
    phases: Sequence[Phase]
    control: Sequence[Phase]
    foreign_rows: int
    abandoned_rows: int
    missing_rows: int
    control_foreign_rows: int

    @property
    def requests(self) -> int:
        return sum(phase.tally.requests.total() for phase in self.phases)

    @property
    def observations(self) -> int:
        return sum(phase.tally.observations for phase in self.phases)

    @property
    def leaks(self) -> int:
        return sum(phase.tally.leaks for phase in self.phases)

    @property
    def examples(self) -> list[str]:
        return [example for phase in self.phases for example in phase.tally.examples]

    @property
    def kinds(self) -> Counter[str]:
        total = sum((phase.tally.requests for phase in self.phases), Counter[str]())
        return Counter({kind: total[kind] for kind in SHARES})

    @property
    def failures(self) -> Counter[str]:
        return sum((phase.tally.failures for phase in self.phases), Counter[str]())

    @property
    def generic_plans(self) -> int:
        return max(phase.tally.generic_plans for phase in self.phases)

    @property
    def control_observations(self) -> int:
        return sum(phase.tally.observations for phase in self.control)

    @property
    def control_leaks(self) -> int:
        return sum(phase.tally.leaks for phase in self.control)

    @property
    def doubts(self) -> list[str]:
        """Why the absence of leaks would prove nothing."""
        found = []
        if not self.control_leaks:
            found.append("the control did not leak, so this proof is blind")
        if self.failures:
            found.append(f"{self.failures.total()} requests failed for another reason")
        if self.abandoned_rows:
            found.append(f"{self.abandoned_rows} rows survived a rollback")
        if self.missing_rows:
            found.append(f"{self.missing_rows} committed rows are missing")
        # Behind a pooler nothing is prepared by name, so no plan outlives its statement.
        if self.pooler is Pooler.NONE and not self.generic_plans:
            found.append("no plan became generic")
        return found

    @property
    def verdict(self) -> Verdict:
        if self.leaks or self.foreign_rows:
            return Verdict.LEAK
        return Verdict.INCONCLUSIVE if self.doubts else Verdict.NO_LEAK

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "verdict": self.verdict,
            "doubts": self.doubts,
            "pooler": self.pooler,
            "seed": self.seed,
            "requests": self.requests,
            "observations": self.observations,
            "leaks": self.leaks,
            "foreign_rows": self.foreign_rows,
            "examples": self.examples,
            "kinds": dict(self.kinds),
            "failures": dict(self.failures),
            "generic_plans": self.generic_plans,
            "pools": [
                {
                    "size": phase.pool_size,
                    "requests": phase.tally.requests.total(),
                    "seconds": round(phase.seconds, 2),
                }
                for phase in self.phases
            ],
            "control": {
                "leaks": self.control_leaks,
                "observations": self.control_observations,
                "foreign_rows": self.control_foreign_rows,
            },
        }


async def prove_isolation(
    runtime_url: str,
    owner_url: str,
    *,
    requests: int,
    seed: int,
    pool_sizes: Sequence[int] = POOL_SIZES,
    pooler: Pooler = Pooler.NONE,
    on_progress: Progress = lambda _stage, _done, _total: None,
) -> Report:
    """Run the proof and its control. `owner_url` leads to the same database, without a pooler.

    Raises IsolationProofRunning when another one runs there. The tenants it needs are temporary.
    """
    async with temporary_twins(owner_url) as (twins, control_twins):

        async def run(stage: str, made_by: type[ServiceRouting | NaiveRouting], count: int) -> list[Phase]:
            return await _run_pools(
                lambda size: made_by(runtime_url, pool_size=size, pooler=pooler),
                twins if made_by is ServiceRouting else control_twins,
                kinds=mixed_kinds(count, seed),
                pool_sizes=pool_sizes,
                seed=seed,
                on_request=_counter(stage, count, on_progress),
            )

        phases = await run("proof", ServiceRouting, requests)
        control = await run("control", NaiveRouting, max(MIN_CONTROL_REQUESTS, requests // CONTROL_SHARE))
        written = sum((phase.tally.written for phase in phases), Counter[str]())
        rows = {schema: await rows_by_kind(owner_url, schema) for schema in twins}
        control_rows = [await rows_by_kind(owner_url, schema) for schema in control_twins]
    return Report(
        pooler=pooler,
        seed=seed,
        phases=phases,
        control=control,
        foreign_rows=sum(foreign for kinds in rows.values() for _, foreign in kinds.values()),
        abandoned_rows=sum(kinds.get("abandoned", (0, 0))[0] for kinds in rows.values()),
        missing_rows=sum(
            abs(written[schema] - kinds.get("write", (0, 0))[0]) for schema, kinds in rows.items()
        ),
        control_foreign_rows=sum(foreign for kinds in control_rows for _, foreign in kinds.values()),
    )


async def _run_pools(
    make_routing: Callable[[int], Routing],
    twins: Twins,
    *,
    kinds: list[str],
    pool_sizes: Sequence[int],
    seed: int,
    on_request: Callable[[], None],
) -> list[Phase]:
    """The requests in equal parts, one pool size after the other."""
    phases = []
    for number, pool_size in enumerate(pool_sizes):
        started = monotonic()
        tally = await run_requests(
            make_routing(pool_size),
            twins,
            kinds=kinds[number :: len(pool_sizes)],
            pool_size=pool_size,
            seed=seed + number,
            on_request=on_request,
        )
        phases.append(Phase(pool_size, monotonic() - started, tally))
    return phases


def _counter(stage: str, total: int, on_progress: Progress) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(stage, done, total)

    return count
