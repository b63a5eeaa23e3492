"""RDS: subnet groups that outlast a change, parameters with a source, instances with ids, what is offered."""

import uuid
from collections.abc import Iterable
from typing import Any

from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend
from moto.rds.responses import RDSResponse

from tests.aws_emulator.patching import around

INSIGHTS = {
    "database_insights_mode": "standard",
    "enable_performance_insights": False,
    "performance_insights_kms_key_id": None,
    "performance_insights_retention_period": None,
}
# Some of what is offered; moto knows none of PostgreSQL.
OFFERED = {"db.t4g.small", "db.t4g.medium", "db.m7g.large", "db.r7g.large"}
VERSIONS = ("17.6", "18.1")


def apply() -> None:
    @around(RDSResponse, "describe_orderable_db_instance_options")
    def offer(original: Any, response: Any) -> Any:
        answer = original(response)
        if response.params.get("Engine") == "postgres":
            asked = response.params.get("DBInstanceClass")
            answer.result["OrderableDBInstanceOptions"] = [
                option(offered, version, response.region)
                for offered in sorted(OFFERED)
                for version in VERSIONS
                if asked in {None, offered}
            ]
        return answer

    @around(RDSBackend, "modify_db_subnet_group")
    def keep(original: Any, backend: Any, name: str, *arguments: Any, **named: Any) -> Any:
        """moto takes the group out and forgets it."""
        group = original(backend, name, *arguments, **named)
        backend.subnet_groups[name] = group
        return group

    @around(DBParameterGroup, "update_parameters")
    def update(original: Any, group: Any, parameters: Iterable[dict[str, Any]]) -> None:
        """Terraform passes over those of which nobody says that they are a user's."""
        original(group, [{**parameter, "Source": "user"} for parameter in parameters])

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
        replica.multi_az = bool(given.get("multi_az"))
        replica.backup_retention_period = given.get("backup_retention_period") or 0
        replica.enabled_cloudwatch_logs_exports = list(given.get("enable_cloudwatch_logs_exports") or [])
        replica.tags = list(given.get("tags") or [])
        return replica


def option(instance_class: str, version: str, region: str) -> dict[str, Any]:
    zones = [{"Name": f"{region}{letter}"} for letter in "abc"]
    return {
        "Engine": "postgres", "EngineVersion": version, "DBInstanceClass": instance_class,
        "AvailabilityZones": zones, "MultiAZCapable": True, "Vpc": True,
    }  # fmt: skip


def new_resource_id() -> str:
    return f"db-{uuid.uuid4().hex[:26].upper()}"
