"""RDS: subnet groups that outlast their change, instances with an id and insights of their own, replicas."""

import uuid
from typing import Any

from moto.rds.models import DBInstance, RDSBackend

from tests.aws_emulator.patching import around

INSIGHTS = {
    "database_insights_mode": "standard",
    "enable_performance_insights": False,
    "performance_insights_kms_key_id": None,
    "performance_insights_retention_period": None,
}


def apply() -> None:
    @around(RDSBackend, "modify_db_subnet_group")
    def keep(original: Any, backend: Any, name: str, *arguments: Any, **named: Any) -> Any:
        """moto takes the group out and forgets it."""
        group = original(backend, name, *arguments, **named)
        backend.subnet_groups[name] = group
        return group

    DBInstance.performance_insights_enabled = property(  # type: ignore[attr-defined]
        lambda instance: instance.enable_performance_insights
    )

    @around(DBInstance, "__init__")
    def begin(original: Any, instance: Any, *arguments: Any, **named: Any) -> None:
        original(instance, *arguments, **named)
        instance.dbi_resource_id = new_resource_id()
        for name, default in INSIGHTS.items():
            setattr(instance, name, named.get(name, default))

    @around(RDSBackend, "create_db_instance_read_replica")
    def replicate(original: Any, backend: Any, given: dict[str, Any]) -> Any:
        """moto makes a copy of the primary, which is then mistaken for it."""
        replica = original(backend, given)
        replica.dbi_resource_id = new_resource_id()
        replica.backup_retention_period = given.get("backup_retention_period") or 0
        replica.enabled_cloudwatch_logs_exports = list(given.get("enable_cloudwatch_logs_exports") or [])
        replica.tags = list(given.get("tags") or [])
        return replica


def new_resource_id() -> str:
    return f"db-{uuid.uuid4().hex[:26].upper()}"
