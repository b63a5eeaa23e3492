"""Auto Scaling: how many instances a group keeps while it replaces them."""

from typing import Any

from moto.autoscaling.responses import AutoScalingResponse as Response

from tests.aws_emulator.patching import around


def apply() -> None:
    for action in ("create_auto_scaling_group", "update_auto_scaling_group"):
        around(Response, action)(keep)


def keep(original: Any, response: Any) -> Any:
    answer = original(response)
    policy = response._get_param("InstanceMaintenancePolicy")
    if policy is not None:
        groups = response.autoscaling_backend.autoscaling_groups
        groups[response._get_param("AutoScalingGroupName")].instance_maintenance_policy = policy
    return answer
