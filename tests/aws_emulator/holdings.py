"""What exists in the emulator: a walk over moto's backends, so that no kind of resource is forgotten."""

from collections.abc import Iterator, Mapping
from typing import Any

from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.common_models import BaseModel
from moto.ecs.models import Task

from tests.aws_emulator.launcher import ACCOUNT, REGION

# They hold something from the start (a default VPC, managed policies), and are made at their first call:
# called up here, so that what they bring is seen before the first resource too.
WITH_DEFAULTS = ("ec2", "elbv2", "iam", "rds", "kms", "ssm", "cloudwatch", "elasticache", "backup")
# Kinds that record what happened, and what AWS itself provides.
RECORDS = {"activities", "amis", "aws_managed_policies", "events", "messages", "metric_data"}
ENDED = {"deleted", "deleting", "terminated", "inactive", "pendingdeletion", "expired"}


def listed() -> dict[str, list[str]]:
    """Names by `service kind`, without what AWS too keeps for a while under the state of being deleted."""
    for service in WITH_DEFAULTS:
        regions = get_backend(service)[ACCOUNT]  # type: ignore[call-overload]
        regions["aws" if service == "iam" else REGION]
    held: dict[str, list[str]] = {}
    for service, backend in backends():
        for kind, value in vars(backend).items():
            names = sorted(set(named(value))) if kind not in RECORDS else []
            if names:
                held[f"{service} {kind}"] = names
    return held


def backends() -> Iterator[tuple[str, Any]]:
    """Those of the one region that is used, and of the services that know none."""
    for service in list(BackendDict._instances):  # type: ignore[misc]
        for _, region, backend in list(service.iter_backends()):
            if region in {REGION, "aws"}:
                yield service.service_name, backend


def named(value: Any, above: str = "") -> Iterator[str]:
    """The names of what a container of a backend holds; nested ones are joined with a slash."""
    if isinstance(value, Mapping):
        for key, item in list(value.items()):
            if is_of_aws(str(key), item):
                continue
            if isinstance(item, Mapping | list):
                yield from named(item, f"{above}{key}/")
            elif isinstance(item, BaseModel) and not has_ended(item):
                yield f"{above}{key}"
    elif isinstance(value, list | tuple | set):
        for item in list(value):
            if isinstance(item, BaseModel) and not has_ended(item):
                yield f"{above}{name_of(item)}"


def is_of_aws(key: str, item: Any) -> bool:
    """Managed policies, public parameters, and the keys that AWS makes for the first who needs one."""
    if ":iam::aws:policy/" in key or key.startswith("/aws/service/"):
        return True
    return str(getattr(item, "description", "")).startswith(("Default key", "Default master key"))


def name_of(item: BaseModel) -> str:
    names = (getattr(item, name, None) for name in ("arn", "id", "name"))
    return next((str(name) for name in names if name), type(item).__name__)


def has_ended(item: BaseModel) -> bool:
    if getattr(item, "deleted_date", None) or getattr(item, "deletion_date", None):
        return True
    # AWS tells of it for an hour, too, and then forgets it.
    if isinstance(item, Task) and item.status == "STOPPED":
        return True
    states = (getattr(item, name, None) for name in ("status", "state", "key_state", "_state"))
    words = (str(getattr(state, "name", state)) for state in states if state)
    return any(word.lower().replace("_", "") in ENDED for word in words)
