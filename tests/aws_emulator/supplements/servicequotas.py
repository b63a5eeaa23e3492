"""Service Quotas: AWS's defaults for what environments need, with the metrics that tell their use."""

import json
from typing import Any

from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse as Response

from tests.aws_emulator.patching import around

# As AWS lists them, in a new account.
DEFAULTS = {
    ("ec2", "L-0263D0A3"): ("EC2-VPC Elastic IPs", 5.0),
    ("elasticache", "L-DFE45DF3"): ("Nodes per Region", 300.0),
    ("elasticloadbalancing", "L-53DA6B97"): ("Application Load Balancers per Region", 50.0),
    ("fargate", "L-3032A538"): ("Fargate On-Demand vCPU resource count", 6.0),
    ("fargate", "L-36FBB829"): ("Fargate Spot vCPU resource count", 6.0),
    ("rds", "L-7B6409FD"): ("DB instances", 40.0),
}
CLASSES = {"L-3032A538": "Standard/OnDemand", "L-36FBB829": "Standard/Spot"}
# Accounts have no value of their own for these, and AWS then knows no quota, only the default.
UNAPPLIED = {"L-DFE45DF3"}


def apply() -> None:
    @around(ServiceQuotasBackend, "get_service_quota")
    def applied(original: Any, backend: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        if (service_code, quota_code) not in DEFAULTS:
            return dict(original(backend, service_code, quota_code))
        if quota_code in UNAPPLIED:
            raise NoSuchResource
        return described(service_code, quota_code)

    setattr(Response, get_aws_default_service_quota.__name__, get_aws_default_service_quota)


def get_aws_default_service_quota(response: Any) -> str:
    asked = json.loads(response.body)
    service, code = asked["ServiceCode"], asked["QuotaCode"]
    if (service, code) in DEFAULTS:
        return json.dumps({"Quota": described(service, code)})
    return json.dumps({"Quota": response.backend.get_service_quota(service, code)})


def described(service: str, code: str) -> dict[str, Any]:
    name, value = DEFAULTS[service, code]
    quota = {"ServiceCode": service, "QuotaCode": code, "QuotaName": name, "Value": value, "Unit": "None"}
    if code not in CLASSES:
        return quota
    dimensions = {"Class": CLASSES[code], "Resource": "vCPU", "Service": "Fargate", "Type": "Resource"}
    metric = {"MetricNamespace": "AWS/Usage", "MetricName": "ResourceCount", "MetricDimensions": dimensions}
    return quota | {"UsageMetric": metric | {"MetricStatisticRecommendation": "Maximum"}}
