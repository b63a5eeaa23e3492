"""ECS: what a service was told about capacity, exec, tags, grace period, zones and its deployments."""

from typing import Any

from moto.ecs.responses import EC2ContainerServiceResponse as Response

from tests.aws_emulator.patching import around

FIELDS = {
    "availabilityZoneRebalancing": "availability_zone_rebalancing",
    "capacityProviderStrategy": "capacity_provider_strategy",
    "deploymentConfiguration": "deployment_configuration",
    "enableECSManagedTags": "enable_ecs_managed_tags",
    "enableExecuteCommand": "enable_execute_command",
    "healthCheckGracePeriodSeconds": "health_check_grace_period_seconds",
}


def apply() -> None:
    for action in ("create_service", "update_service"):
        around(Response, action)(keep)


def keep(original: Any, response: Any) -> Any:
    answer = original(response)
    service = answer.result["service"]
    for sent, kept in FIELDS.items():
        value = response._get_param(sent)
        if value is not None:
            setattr(service, kept, value)
    # With a strategy there is no launch type.
    if getattr(service, "capacity_provider_strategy", None):
        service.launch_type = None
    return answer
