"""What must be true of every plan. Each function returns the faults as `address: what is wrong`.

They judge what a plan tells: the second plan of something that was applied knows every value.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.terraform.plans import Resource, documents, listed, resources, statements, strings

Plan = dict[str, Any]
ANYWHERE = {"0.0.0.0/0", "::/0"}
WEB_PORTS = {80, 443}
# None of these accepts TLS 1.0 or 1.1.
TLS_POLICIES = re.compile(r"ELBSecurityPolicy-(TLS13-1-[23]|FS-1-2|TLS-1-2)-.*")
SECRET_ARGUMENTS = {
    "auth_token", "insecure_value", "master_password", "password", "passwords",
    "private_key", "private_key_pem", "secret_binary", "secret_string",
}  # fmt: skip
SECRET_MAKERS = {"aws_iam_access_key", "random_password", "tls_private_key"}
SECRET_NAMES = re.compile(
    r"(PASSWORD|SECRET|SECRET_KEY|TOKEN|PRIVATE_KEY|API_KEY|CREDENTIALS)$", re.IGNORECASE
)
LOGIN_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
ADMINISTRATORS = re.compile(r":policy/(AdministratorAccess|PowerUserAccess|IAMFullAccess)$")


def public(plan: Plan) -> list[str]:
    """Nothing but the load balancer faces the internet, and it only on the ports of the web."""
    return [
        *open_rules(plan),
        *public_addresses(plan),
        *open_buckets(plan),
        *(
            f"{address}: its policy lets anybody in"
            for address, argument, statement in statements(plan)
            if argument != "container_definitions"
            and is_for_anybody(statement)
            and "vpc_endpoint" not in address
        ),
    ]


def open_rules(plan: Plan) -> Iterator[str]:
    balancers = {
        group for balancer in resources(plan, "aws_lb") for group in balancer.refers_to("security_groups")
    }
    for rule in resources(plan, "aws_vpc_security_group_ingress_rule", "aws_security_group_rule"):
        if rule.values.get("type", "ingress") != "ingress":
            continue
        values = rule.values
        sources = {values.get("cidr_ipv4"), values.get("cidr_ipv6")}
        sources |= {*listed(values.get("cidr_blocks")), *listed(values.get("ipv6_cidr_blocks"))}
        ports = {values.get("from_port"), values.get("to_port")}
        if sources & ANYWHERE and not (
            rule.refers_to("security_group_id") & balancers and ports <= WEB_PORTS
        ):
            yield f"{rule.address}: open to the whole internet"
    for group in resources(plan, "aws_security_group", "aws_default_security_group"):
        # Once applied a group lists the rules that are declared apart from it, too.
        for block in group.blocks("ingress") if "ingress" in group.expressions else []:
            if ANYWHERE & {*listed(block.get("cidr_blocks")), *listed(block.get("ipv6_cidr_blocks"))}:
                yield f"{group.address}: open to the whole internet"


def public_addresses(plan: Plan) -> Iterator[str]:
    flags = (
        "publicly_accessible",
        "associate_public_ip_address",
        "map_public_ip_on_launch",
        "assign_public_ip",
    )
    for resource in resources(plan):
        for holder in (
            resource.values,
            *resource.blocks("network_interfaces"),
            *resource.blocks("network_configuration"),
        ):
            for flag in flags:
                if str(holder.get(flag)).lower() == "true":
                    yield f"{resource.address}: {flag}"
        faces_internet = resource.type == "aws_lb" and not resource.values.get("internal")
        if faces_internet and resource.values.get("load_balancer_type") != "application":
            yield f"{resource.address}: only an application load balancer may face the internet"


def open_buckets(plan: Plan) -> Iterator[str]:
    blocks = {"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"}
    closed = {
        bucket
        for block in resources(plan, "aws_s3_bucket_public_access_block")
        if all(block.values.get(name) for name in blocks)
        for bucket in block.refers_to("bucket")
    }
    for bucket in resources(plan, "aws_s3_bucket"):
        if bucket.declared not in closed:
            yield f"{bucket.address}: public access is not blocked in all four ways"


def is_for_anybody(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = listed(principal.get("AWS")) if isinstance(principal, dict) else [principal]
    return statement.get("Effect") == "Allow" and "*" in named and not statement.get("Condition")


def encryption(plan: Plan) -> list[str]:
    """Everything that can be stored in the clear is encrypted, and keys are rotated."""
    encrypted_buckets = {
        bucket
        for rule in resources(plan, "aws_s3_bucket_server_side_encryption_configuration")
        for bucket in rule.refers_to("bucket")
    }
    checks: dict[str, Callable[[Resource], bool]] = {
        # A replica in the same region takes its source's.
        "aws_db_instance": lambda it: it.has("storage_encrypted") or it.has("replicate_source_db"),
        "aws_rds_cluster": lambda it: it.has("storage_encrypted"),
        "aws_ebs_volume": lambda it: it.has("encrypted"),
        "aws_instance": lambda it: any(block.get("encrypted") for block in it.blocks("root_block_device")),
        "aws_launch_template": disks_are_encrypted,
        "aws_efs_file_system": lambda it: it.has("encrypted"),
        "aws_elasticache_replication_group": lambda it: (
            str(it.values.get("at_rest_encryption_enabled")).lower() == "true"
        ),
        "aws_sqs_queue": lambda it: it.has("kms_master_key_id") or it.has("sqs_managed_sse_enabled"),
        "aws_sns_topic": lambda it: it.has("kms_master_key_id"),
        "aws_s3_bucket": lambda it: it.declared in encrypted_buckets,
        "aws_ecr_repository": lambda it: bool(it.blocks("encryption_configuration")),
        "aws_kms_key": lambda it: (
            it.has("enable_key_rotation") or it.values.get("key_usage") != "ENCRYPT_DECRYPT"
        ),
    }
    return [
        f"{resource.address}: {'keys are not rotated' if resource.type == 'aws_kms_key' else 'not encrypted'}"
        for resource in resources(plan, *checks)
        if not checks[resource.type](resource)
    ]


def disks_are_encrypted(template: Resource) -> bool:
    disks = [
        disk for mapping in template.blocks("block_device_mappings") for disk in mapping.get("ebs") or []
    ]
    return bool(disks) and all(str(disk.get("encrypted")).lower() == "true" for disk in disks)


def tls(plan: Plan) -> list[str]:
    """What travels is encrypted: TLS 1.2 at least, and no door beside it."""
    secured = {
        bucket
        for policy in resources(plan, "aws_s3_bucket_policy")
        if policy.unknown.get("policy") or "aws:SecureTransport" in (policy.values.get("policy") or "")
        for bucket in policy.refers_to("bucket")
    }
    checks: dict[str, Callable[[Resource], bool]] = {
        "aws_lb_listener": listener_is_secure,
        "aws_elasticache_replication_group": lambda it: (
            it.has("transit_encryption_enabled") and it.values.get("transit_encryption_mode") != "preferred"
        ),
        "aws_db_parameter_group": forces_tls,
        "aws_db_proxy": lambda it: it.has("require_tls"),
        "aws_s3_bucket": lambda it: it.declared in secured,
    }
    return [
        f"{resource.address}: can be reached without TLS 1.2 or newer"
        for resource in resources(plan, *checks)
        if not checks[resource.type](resource)
    ]


def listener_is_secure(listener: Resource) -> bool:
    if listener.values.get("protocol") == "HTTPS":
        policy = listener.values.get("ssl_policy") or ""
        return TLS_POLICIES.fullmatch(policy) is not None
    redirects = [
        step for action in listener.blocks("default_action") for step in action.get("redirect") or []
    ]
    return bool(redirects) and all(step.get("protocol") == "HTTPS" for step in redirects)


def forces_tls(group: Resource) -> bool:
    if not str(group.values.get("family")).startswith("postgres"):
        return True
    settings = {block.get("name"): block.get("value") for block in group.blocks("parameter")}
    return settings.get("rds.force_ssl") == "1"


def wide_policies(plan: Plan) -> list[str]:
    """No policy allows every action, of AWS or a service, on every resource; nobody is an administrator."""
    # In the policy of a key, `*` is that key; the policy of an endpoint grants nothing, it only narrows.
    found = [
        (address, statement)
        for address, _, statement in statements(plan)
        if not re.search(r"(^|\.)aws_(kms_key|vpc_endpoint)", address)
    ]
    faults = [
        f"{address}: every action on every resource"
        for address, statement in [*found, *documents(plan)]
        if is_wide(statement)
    ]
    for resource in resources(plan, "aws_iam_role_policy_attachment", "aws_iam_role"):
        for _, text in strings(resource.values):
            if ADMINISTRATORS.search(text):
                faults.append(f"{resource.address}: attaches {text}")
    return faults


def is_wide(statement: dict[str, Any]) -> bool:
    if statement.get("Effect") != "Allow":
        return False
    if "NotAction" in statement:
        return "*" in listed(statement.get("Resource"))
    wide = [action for action in listed(statement.get("Action")) if action == "*" or action.endswith(":*")]
    # A document for a key may say so too; where it is used is not seen there.
    return bool(set(wide) - {"kms:*"}) and "*" in listed(statement.get("Resource"))


def unprotected(plan: Plan) -> list[str]:
    """What a production would lose to one wrong command."""
    checks: dict[str, Callable[[Resource], bool]] = {
        "aws_lb": lambda it: it.has("enable_deletion_protection"),
        "aws_db_instance": database_is_protected,
        "aws_elasticache_replication_group": lambda it: (it.values.get("snapshot_retention_limit") or 0) >= 1,
        "aws_s3_bucket": lambda it: not it.values.get("force_destroy"),
        "aws_ecr_repository": lambda it: not it.values.get("force_delete"),
        "aws_secretsmanager_secret": lambda it: it.values.get("recovery_window_in_days") != 0,
        "aws_kms_key": lambda it: (it.values.get("deletion_window_in_days") or 30) >= 7,
        "aws_backup_vault": lambda it: not it.values.get("force_destroy"),
    }
    return [
        f"{resource.address}: can be lost in one command"
        for resource in resources(plan, *checks)
        if not checks[resource.type](resource)
    ]


def database_is_protected(database: Resource) -> bool:
    if not database.has("deletion_protection"):
        return False
    if database.has("replicate_source_db"):
        return True
    return (
        not database.values.get("skip_final_snapshot")
        and (database.values.get("backup_retention_period") or 0) >= 7
    )


def secrets(plan: Plan) -> list[str]:
    """No secret is an argument, an environment variable of a container, or an input that is kept."""
    faults = [
        f"var.{name}: a secret that the plan keeps; make it ephemeral"
        for name, variable in plan.get("variables", {}).items()
        if SECRET_NAMES.search(name) and variable.get("value")
    ]
    for resource in resources(plan):
        kept = {name for name, text in strings(resource.values) if text and name in SECRET_ARGUMENTS}
        if resource.values.get("type") == "SecureString" and resource.values.get("value"):
            kept.add("value")
        if resource.type in SECRET_MAKERS:
            kept.add("its secret")
        faults += [f"{resource.address}: {name} lies in the state" for name in sorted(kept)]
        if resource.type == "aws_ecs_task_definition":
            faults += container_secrets(resource)
    return faults


def container_secrets(task: Resource) -> Iterator[str]:
    for container in json.loads(task.values.get("container_definitions") or "[]"):
        for variable in container.get("environment") or []:
            name, value = variable["name"], variable.get("value") or ""
            if value and (SECRET_NAMES.search(name) or LOGIN_IN_URL.search(value)):
                yield f"{task.address}: {container['name']} is given {name} in the clear"


ALWAYS: dict[str, Callable[[Plan], list[str]]] = {
    "public": public,
    "encryption": encryption,
    "tls": tls,
    "wide_policies": wide_policies,
    "secrets": secrets,
}
IN_PRODUCTION = {"unprotected": unprotected}
