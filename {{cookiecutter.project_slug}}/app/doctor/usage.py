"""How much of a quota an account has in use, as its services tell it."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from app.core.aws import Aws
from app.core.database import utc_now

NAT_STATES: Final = ["available", "deleting", "pending"]
RECENT: Final = timedelta(hours=1)
PERIOD_SECONDS: Final = 300


def _count(service: str, operation: str, key: str) -> Callable[[Aws], int]:
    return lambda aws: len(aws.pages(service, operation, key))


def _addresses(aws: Aws) -> int:
    return len(aws.call("ec2", "describe_addresses")["Addresses"])


def _cache_nodes(aws: Aws) -> int:
    clusters = aws.pages("elasticache", "describe_cache_clusters", "CacheClusters")
    return sum(cluster["NumCacheNodes"] for cluster in clusters)


def _application_load_balancers(aws: Aws) -> int:
    balancers = aws.pages("elbv2", "describe_load_balancers", "LoadBalancers")
    return sum(balancer["Type"] == "application" for balancer in balancers)


# By the code of the quota.
COUNTED: Final[Mapping[str, Callable[[Aws], int]]] = {
    "L-F678F1CE": _count("ec2", "describe_vpcs", "Vpcs"),
    "L-A4707A72": _count("ec2", "describe_internet_gateways", "InternetGateways"),
    "L-0263D0A3": _addresses,
    "L-7B6409FD": _count("rds", "describe_db_instances", "DBInstances"),
    "L-DFE45DF3": _cache_nodes,
    "L-53DA6B97": _application_load_balancers,
}


def nat_gateways_by_zone(aws: Aws) -> Counter[str]:
    """A gateway does not tell its zone, but its subnet does."""
    states = [{"Name": "state", "Values": NAT_STATES}]
    gateways = aws.pages("ec2", "describe_nat_gateways", "NatGateways", Filter=states)
    if not gateways:
        return Counter()
    zones = {
        one["SubnetId"]: one["AvailabilityZone"] for one in aws.pages("ec2", "describe_subnets", "Subnets")
    }
    return Counter(zones.get(gateway["SubnetId"], "") for gateway in gateways)


def measured(aws: Aws, metric: Mapping[str, Any] | None) -> float | None:
    """The newest figure of the metric that a quota names for its use; None where it names none."""
    if not metric or not metric.get("MetricName"):
        return None
    statistic = metric.get("MetricStatisticRecommendation") or "Maximum"
    answer = aws.call(
        "cloudwatch",
        "get_metric_statistics",
        Namespace=metric["MetricNamespace"],
        MetricName=metric["MetricName"],
        Dimensions=[{"Name": name, "Value": value} for name, value in metric["MetricDimensions"].items()],
        StartTime=utc_now() - RECENT,
        EndTime=utc_now(),
        Period=PERIOD_SECONDS,
        Statistics=[statistic],
    )
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    # Nothing is published while nothing runs.
    return float(points[-1][statistic]) if points else 0.0
