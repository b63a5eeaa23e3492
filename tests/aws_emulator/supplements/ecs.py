"""ECS: what a service was told about capacity, exec, tags, grace, zones and its deployments; tasks that end.

No container runs: a task has ended when it is looked at, and its log says what it would have run. A
container's variable EMULATOR_EXIT_CODE is the code that it ends with.
"""

import copy
import time
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ecs.models import EC2ContainerServiceBackend as Backend
from moto.ecs.responses import EC2ContainerServiceResponse as Response
from moto.logs.models import logs_backends

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

    @around(Backend, "_calculate_task_resource_requirements")
    def weigh(original: Any, _backend: Any, definition: Any) -> Any:
        """With Fargate the task has a size, and its containers need have none. moto's own is static."""
        sized = copy.copy(definition)
        sized.container_definitions = [
            {**one, "memory": one.get("memory") or one.get("memoryReservation") or 0}
            for one in definition.container_definitions
        ]
        return original(sized)

    @around(Backend, "run_task")
    def end(original: Any, backend: Any, *arguments: Any, **named: Any) -> Any:
        tasks = original(backend, *arguments, **named)
        for task in tasks:
            if task.container_instance_arn is None:
                run_to_its_end(backend, task)
        return tasks


def run_to_its_end(backend: Any, task: Any) -> None:
    """With Fargate a task belongs to no instance, and is there to be run once or by a service."""
    definition = backend.describe_task_definition(task.task_definition_arn)
    for container, given in zip(task.containers, definition.container_definitions, strict=False):
        variables = {one["name"]: one["value"] for one in given.get("environment") or []}
        container.exitCode = int(variables.get("EMULATOR_EXIT_CODE", "0"))
        container.last_status = "STOPPED"
        write_log(backend, task.id, given)
    interfaces = ec2_backends[backend.account_id][backend.region_name]
    for attachment in task.attachments:
        for detail in attachment["details"]:
            if detail["name"] == "networkInterfaceId":
                interfaces.delete_network_interface(detail["value"])
    task.desired_status = task.status = "STOPPED"
    task.stopped_reason = "Essential container in task exited"


def write_log(backend: Any, task_id: str, container: dict[str, Any]) -> None:
    options = (container.get("logConfiguration") or {}).get("options") or {}
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if not group:
        return
    logs, stream = (
        logs_backends[backend.account_id][backend.region_name],
        f"{prefix}/{container['name']}/{task_id}",
    )
    logs.create_log_stream(group, stream)
    line = {
        "timestamp": int(time.time() * 1000),
        "message": f"ran {' '.join(container.get('command') or [])}",
    }
    logs.put_log_events(group, stream, [line])


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
