"""ElastiCache: parameter groups, user groups, clusters of a replication group, and deletions that end."""

import re
from typing import Any

from moto.core.common_models import BaseModel
from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.exceptions import CacheSubnetGroupNotFound, ElastiCacheException
from moto.elasticache.models import CacheCluster, ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse as Response

from tests.aws_emulator.patching import around


class ParameterGroupNotFoundError(ElastiCacheException):
    code = "CacheParameterGroupNotFound"


class UserGroupNotFoundError(ElastiCacheException):
    code = "UserGroupNotFound"


class ParameterGroup(BaseModel):
    def __init__(self, name: str, family: str, description: str, arn: str) -> None:
        self.cache_parameter_group_name = name
        self.cache_parameter_group_family = family
        self.description = description
        self.arn = arn
        self.parameters: dict[str, str] = {}


class UserGroup(BaseModel):
    def __init__(self, name: str, engine: str, user_ids: list[str], arn: str) -> None:
        self.user_group_id = name
        self.engine = engine
        self.user_ids = user_ids
        self.arn = arn
        self.status = "active"
        self.replication_groups: list[str] = []


def apply() -> None:
    @around(ElastiCacheBackend, "__init__")
    def begin(original: Any, backend: Any, *arguments: Any, **named: Any) -> None:
        original(backend, *arguments, **named)
        kinds = "cluster|snapshot|subnetgroup|replicationgroup|user|parametergroup|usergroup|serverlesscache"
        backend.arn_regex = re.compile(rf"^arn:aws:elasticache:.*:[0-9]*:({kinds}):.*$")
        backend.parameter_groups = {}
        backend.user_groups = {}

    @around(ElastiCacheBackend, "create_replication_group")
    def create(original: Any, backend: Any, **named: Any) -> Any:
        # moto counts the clusters only where they are called replicas.
        if named.get("num_cache_clusters") and not named.get("replicas_per_node_group"):
            named["replicas_per_node_group"] = named["num_cache_clusters"] - 1
        group = original(backend, **named)
        group.transit_encryption_mode = named.get("transit_encryption_mode") or (
            "required" if group.transit_encryption_enabled else None
        )
        for name in group.member_clusters:
            backend.cache_clusters[name] = member(backend, group, name)
        return group

    @around(ElastiCacheBackend, "delete_replication_group")
    def delete(original: Any, backend: Any, name: str = "", **named: Any) -> Any:
        """moto says `deleting` for ever."""
        group = original(backend, named.pop("replication_group_id", name), **named)
        for cluster in group.member_clusters:
            backend.cache_clusters.pop(cluster, None)
        return backend.replication_groups.pop(group.replication_group_id)

    for function in (
        create_cache_parameter_group, describe_cache_parameter_groups, describe_cache_parameters,
        modify_cache_parameter_group, reset_cache_parameter_group, delete_cache_parameter_group,
        create_user_group, describe_user_groups, modify_user_group, delete_user_group,
        delete_cache_subnet_group,
    ):  # fmt: skip
        setattr(Response, function.__name__, function)


def member(backend: Any, group: Any, name: str) -> CacheCluster:
    """A cluster of a replication group, with what it has from the group."""
    names = CacheCluster.__init__.__code__.co_varnames[1 : CacheCluster.__init__.__code__.co_argcount]
    given: dict[str, Any] = {argument: getattr(group, argument, None) for argument in names}
    cluster = CacheCluster(
        **given
        | {
            "account_id": backend.account_id,
            "region_name": backend.region_name,
            "cache_cluster_id": name,
            "num_cache_nodes": 1,
            "log_delivery_configurations": [],
        }
    )
    cluster.num_cache_nodes = 1
    cluster.replication_group_id = group.replication_group_id
    cluster.transit_encryption_mode = group.transit_encryption_mode  # type: ignore[attr-defined]
    cluster.at_rest_encryption_enabled = group.at_rest_encryption_enabled  # type: ignore[attr-defined]
    cluster.cache_parameter_group = {  # type: ignore[attr-defined]
        "CacheParameterGroupName": group.cache_parameter_group_name,
        "ParameterApplyStatus": "in-sync",
    }
    cluster.security_groups = [  # type: ignore[attr-defined]
        {"SecurityGroupId": identifier, "Status": "active"} for identifier in group.security_group_ids or []
    ]
    return cluster


def create_cache_parameter_group(response: Any) -> ActionResult:
    backend, name = response.elasticache_backend, response._get_param("CacheParameterGroupName")
    group = ParameterGroup(
        name,
        response._get_param("CacheParameterGroupFamily"),
        response._get_param("Description"),
        arn(backend, "parametergroup", name),
    )
    backend.tagging_service.tag_resource(group.arn, response._get_param("Tags", []))
    backend.parameter_groups[name] = group
    return ActionResult({"CacheParameterGroup": group})


def parameter_group(response: Any) -> ParameterGroup:
    name = response._get_param("CacheParameterGroupName")
    groups: dict[str, ParameterGroup] = response.elasticache_backend.parameter_groups
    if name not in groups:
        raise ParameterGroupNotFoundError(f"CacheParameterGroup {name} not found.")
    return groups[name]


def describe_cache_parameter_groups(response: Any) -> ActionResult:
    every = list(response.elasticache_backend.parameter_groups.values())
    named = response._get_param("CacheParameterGroupName")
    return ActionResult({"CacheParameterGroups": [parameter_group(response)] if named else every})


def describe_cache_parameters(response: Any) -> ActionResult:
    parameters = parameter_group(response).parameters
    return ActionResult(
        {
            "Parameters": [
                {"ParameterName": name, "ParameterValue": value, "Source": "user"}
                for name, value in parameters.items()
            ]
        }
    )


def modify_cache_parameter_group(response: Any) -> ActionResult:
    group = parameter_group(response)
    for pair in response._get_param("ParameterNameValues", []):
        group.parameters[pair["ParameterName"]] = pair["ParameterValue"]
    return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})


def reset_cache_parameter_group(response: Any) -> ActionResult:
    group = parameter_group(response)
    for pair in response._get_param("ParameterNameValues", []):
        group.parameters.pop(pair["ParameterName"], None)
    return ActionResult({"CacheParameterGroupName": group.cache_parameter_group_name})


def delete_cache_parameter_group(response: Any) -> ActionResult:
    response.elasticache_backend.parameter_groups.pop(parameter_group(response).cache_parameter_group_name)
    return EmptyResult()


def create_user_group(response: Any) -> ActionResult:
    backend, name = response.elasticache_backend, response._get_param("UserGroupId")
    group = UserGroup(
        name,
        response._get_param("Engine").lower(),
        response._get_param("UserIds", []),
        arn(backend, "usergroup", name),
    )
    backend.tagging_service.tag_resource(group.arn, response._get_param("Tags", []))
    backend.user_groups[name] = group
    return ActionResult(group)


def user_group(response: Any) -> UserGroup:
    name = response._get_param("UserGroupId")
    groups: dict[str, UserGroup] = response.elasticache_backend.user_groups
    if name not in groups:
        raise UserGroupNotFoundError(f"User group {name} not found.")
    return groups[name]


def describe_user_groups(response: Any) -> ActionResult:
    every = list(response.elasticache_backend.user_groups.values())
    return ActionResult(
        {"UserGroups": [user_group(response)] if response._get_param("UserGroupId") else every}
    )


def modify_user_group(response: Any) -> ActionResult:
    group = user_group(response)
    removed = set(response._get_param("UserIdsToRemove", []))
    group.user_ids = [name for name in group.user_ids if name not in removed]
    group.user_ids += response._get_param("UserIdsToAdd", [])
    return ActionResult(group)


def delete_user_group(response: Any) -> ActionResult:
    group = user_group(response)
    response.elasticache_backend.user_groups.pop(group.user_group_id)
    group.status = "deleting"
    return ActionResult(group)


def delete_cache_subnet_group(response: Any) -> ActionResult:
    name = response._get_param("CacheSubnetGroupName")
    if response.elasticache_backend.cache_subnet_groups.pop(name, None) is None:
        raise CacheSubnetGroupNotFound(name)
    return EmptyResult()


def arn(backend: Any, kind: str, name: str) -> str:
    return f"arn:aws:elasticache:{backend.region_name}:{backend.account_id}:{kind}:{name}"
