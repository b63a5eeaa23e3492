"""What environments take of an account's quotas, from their files of values."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ENVIRONMENTS: Final = ("dev", "staging", "production")
# A one-off task (stacks/service/tasks.tf), on demand.
TASK_UNITS: Final = 512
UNITS_PER_CPU: Final = 1024
# While a new version is rolled out, the old one runs beside it.
ROLLING: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """An environment as its values describe it; what they leave out is as the stack's defaults have it."""

    name: str
    environment: str
    region: str
    platform: Mapping[str, Any]
    service: Mapping[str, Any]

    @property
    def zones(self) -> list[str]:
        """The lowest index first."""
        zones: Mapping[str, int] = self.platform["zones"]
        return [f"{self.region}{letter}" for letter in sorted(zones, key=lambda letter: zones[letter])]

    @property
    def nat_zones(self) -> list[str]:
        nat = self.platform.get("nat", "per_zone")
        return {"none": [], "single": self.zones[:1], "per_zone": self.zones}[nat]

    @property
    def cache_nodes(self) -> int:
        return 1 + int(self.platform["cache"].get("replicas", 1))

    @property
    def database_class(self) -> str:
        return str(self.platform["database"]["instance_class"])

    @property
    def has_standby(self) -> bool:
        return bool(self.platform["database"].get("multi_az", True))

    def processors(self, provider: str) -> float:
        """The most that services and a task hold at once of FARGATE or FARGATE_SPOT, in vCPU."""
        api = self.service["api"]
        shares = api.get("capacity_providers") or {"FARGATE": {"weight": 1}}
        tasks = placed(int(api["max"]) * ROLLING, shares).get(provider, 0)
        units = tasks * int(api["cpu"]) + (TASK_UNITS if provider == "FARGATE" else 0)
        return units / UNITS_PER_CPU


def placed(tasks: int, shares: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """How many tasks a strategy gives to each provider, each rounded up."""
    base = {name: min(tasks, int(share.get("base", 0))) for name, share in shares.items()}
    rest, weights = max(0, tasks - sum(base.values())), sum(int(share["weight"]) for share in shares.values())
    return {
        name: base[name] + math.ceil(rest * int(share["weight"]) / max(1, weights))
        for name, share in shares.items()
    }


@dataclass(frozen=True, slots=True)
class Quota:
    """A bound of AWS's, by its codes in Service Quotas, and how much of it an environment takes."""

    title: str
    service: str
    code: str
    of: Callable[[Place], float]


def one(_place: Place) -> float:
    return 1


QUOTAS: Final = (
    Quota("VPCs", "vpc", "L-F678F1CE", one),
    Quota("internet gateways", "vpc", "L-A4707A72", one),
    Quota("Elastic IPs", "ec2", "L-0263D0A3", lambda place: len(place.nat_zones)),
    Quota("RDS instances", "rds", "L-7B6409FD", one),
    Quota("ElastiCache nodes", "elasticache", "L-DFE45DF3", lambda place: place.cache_nodes),
    Quota("Application Load Balancers", "elasticloadbalancing", "L-53DA6B97", one),
    Quota("Fargate vCPU", "fargate", "L-3032A538", lambda place: place.processors("FARGATE")),
    Quota("Fargate Spot vCPU", "fargate", "L-36FBB829", lambda place: place.processors("FARGATE_SPOT")),
)
NAT_GATEWAYS: Final = Quota("NAT gateways", "vpc", "L-FE5A380F", lambda place: len(place.nat_zones))


def nat_by_zone(places: Sequence[Place]) -> Counter[str]:
    return Counter(zone for place in places for zone in place.nat_zones)
