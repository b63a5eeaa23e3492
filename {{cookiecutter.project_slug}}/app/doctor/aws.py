"""The checks of an AWS account before Terraform's first apply. They read, and change nothing."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from app.core.aws import Aws, AwsDenied, AwsError
from app.doctor.needs import ENVIRONMENTS, NAT_GATEWAYS, QUOTAS, Place, Quota, nat_by_zone
from app.doctor.report import Finding, Report, fail, ok, skip, warn
from app.doctor.taken import look_at_account_names, look_at_names
from app.doctor.tfvars import TfvarsError, read_tfvars
from app.doctor.usage import COUNTED, measured, nat_gateways_by_zone

VALUES: Final = Path(__file__).resolve().parents[2] / "terraform" / "environments"
# As the module `database` has it.
POSTGRESQL_MAJOR: Final = "18"
# What AWS makes for itself at the first use of a service, if whoever applies may let it.
SERVICE_ROLES: Final = {
    "AWSServiceRoleForApplicationAutoScaling_ECSService": "ecs.application-autoscaling.amazonaws.com",
    "AWSServiceRoleForECS": "ecs.amazonaws.com",
    "AWSServiceRoleForElastiCache": "elasticache.amazonaws.com",
    "AWSServiceRoleForElasticLoadBalancing": "elasticloadbalancing.amazonaws.com",
    "AWSServiceRoleForRDS": "rds.amazonaws.com",
}
# To find out that there is no network must not take as long as to outlast a throttled account.
FEW_ATTEMPTS: Final = 2

Check = Callable[[], Finding]


class UnknownEnvironment(Exception):
    """There is none of that name; the text says which there are."""


def examine_account(environments: Sequence[str]) -> Report:
    """Look at all that the environments will need, by default all three. Raises UnknownEnvironment."""
    for name in environments:
        if name not in ENVIRONMENTS:
            raise UnknownEnvironment(f"{name} is none of {', '.join(ENVIRONMENTS)}")
    try:
        common = read_tfvars(VALUES / "common.tfvars")
        places = [place_of(common, name) for name in environments or ENVIRONMENTS]
    except TfvarsError as error:
        return Report([fail("values", str(error), "correct terraform/environments; the image has no such")])
    except KeyError as error:
        return Report([fail("values", f"{error.args[0]} is missing", "add it in terraform/environments")])
    return Report(list(look(common, places)))


def place_of(common: dict[str, Any], environment: str) -> Place:
    """Raises TfvarsError; KeyError where a value is missing that everything hangs on."""
    values = read_tfvars(VALUES / f"{environment}.tfvars")
    name = f"{common['slug']}-{environment}"
    return Place(name, environment, common["region"], values["platform"], values["service"])


def look(common: dict[str, Any], places: Sequence[Place]) -> Iterator[Finding]:
    region = common["region"]
    try:
        caller = identify(Aws(region, attempts=FEW_ATTEMPTS))
    except AwsError as error:
        yield fail("identity", str(error), "then run this again; nothing else was looked at")
        return
    aws = Aws(region)
    yield describe_caller(caller)
    yield made(look_at_configured_region, aws)
    enabled = made(look_at_region, aws)
    yield enabled
    if enabled.outcome == "fail":
        yield skip("everything in the region", f"{region} cannot be used by this account")
        return
    yield made(look_at_domain, aws, common["domain_name"])
    yield made(look_at_zones, aws, places)
    standing = [place for place in places if stands(aws, place)]
    coming = [place for place in places if place not in standing]
    yield from look_at_quotas(aws, standing, coming)
    for instance_class in sorted({place.database_class for place in coming}):
        group = [place for place in coming if place.database_class == instance_class]
        yield made(look_at_class, aws, instance_class, group)
    yield made(look_at_service_roles, aws)
    yield from look_at_account_names(aws, common, str(caller["Account"]))
    for place in coming:
        yield look_at_names(aws, place.name)


def made(look_at: Callable[..., Finding], *arguments: Any) -> Finding:
    """What a check finds; where AWS does not let it look, what it lacks."""
    check = CHECKS[look_at]
    try:
        return look_at(check, *arguments)
    except AwsError as error:
        return not_seen(check, error)


def not_seen(check: str, error: AwsError) -> Finding:
    if isinstance(error, AwsDenied):
        return warn(check, f"not looked at: {error}", f"allow {error.permission}, or look yourself")
    return fail(check, str(error), "try again; if it stays so, look into AWS's health page")


def identify(aws: Aws) -> dict[str, Any]:
    """In a region that every account has: an endpoint of one that is not enabled knows no caller."""
    everywhere = Aws(aws.main_region(), attempts=FEW_ATTEMPTS)
    return dict(everywhere.call("sts", "get_caller_identity"))


def describe_caller(caller: dict[str, Any]) -> Finding:
    found = f"account {caller['Account']}, {caller['Arn']}"
    if str(caller["Arn"]).endswith(":root"):
        return warn("identity", found, "the root user can lose everything: use a role or user of your own")
    return ok("identity", found)


def look_at_configured_region(check: str, aws: Aws) -> Finding:
    """Terraform takes the region from the values; the AWS CLI, which the guide uses too, does not."""
    configured, todo = aws.configured_region, f"export AWS_REGION={aws.region}"
    if configured is None:
        return warn(check, f"none; common.tfvars says {aws.region}", todo)
    if configured != aws.region:
        return fail(check, f"{configured}; common.tfvars says {aws.region}", f"{todo}, or change the file")
    return ok(check, f"{configured}, as in common.tfvars")


def look_at_region(check: str, aws: Aws) -> Finding:
    everywhere = Aws(aws.main_region())
    regions = everywhere.call("ec2", "describe_regions", AllRegions=True)["Regions"]
    states = {region["RegionName"]: region.get("OptInStatus", "") for region in regions}
    if aws.region not in states:
        return fail(check, f"AWS has no region {aws.region}", "correct `region` in common.tfvars")
    if states[aws.region] == "not-opted-in":
        todo = f"`aws account enable-region --region-name {aws.region}`, and wait for it"
        return fail(check, f"{aws.region} is not enabled in this account", todo)
    return ok(check, f"{aws.region} is enabled")


def look_at_domain(check: str, aws: Aws, domain: str) -> Finding:
    """Terraform wants exactly one public zone; whether the registrar points to it shows only there."""
    answer = aws.call("route53", "list_hosted_zones_by_name", DNSName=domain, MaxItems="100")
    zones = [
        zone["Id"].rsplit("/", 1)[-1]
        for zone in answer["HostedZones"]
        if zone["Name"] == f"{domain}." and not zone.get("Config", {}).get("PrivateZone")
    ]
    if not zones:
        todo = "make it and give its name servers to the registrar, or correct `domain_name` in common.tfvars"
        return fail(check, f"no public zone {domain} in Route 53", todo)
    if len(zones) > 1:
        return fail(check, f"{len(zones)} public zones {domain}: {', '.join(zones)}", "delete all but one")
    return ok(check, f"{domain} is {zones[0]}")


def look_at_zones(check: str, aws: Aws, places: Sequence[Place]) -> Finding:
    answer = aws.call("ec2", "describe_availability_zones")["AvailabilityZones"]
    there = {zone["ZoneName"] for zone in answer if zone["State"] == "available"}
    wanted = sorted({zone for place in places for zone in place.zones})
    if missing := [zone for zone in wanted if zone not in there]:
        todo = f"choose among {', '.join(sorted(there))}: `platform.zones`"
        return fail(check, f"{', '.join(missing)} cannot be used by this account", todo)
    return ok(check, f"{', '.join(wanted)} are there")


def stands(aws: Aws, place: Place) -> bool:
    """Whether the environment was applied already: its network is there, and what it needs is in use."""
    named = [{"Name": "tag:Name", "Values": [place.name]}]
    try:
        return bool(aws.call("ec2", "describe_vpcs", Filters=named)["Vpcs"])
    except AwsError:
        return False


def look_at_quotas(aws: Aws, standing: Sequence[Place], coming: Sequence[Place]) -> Iterator[Finding]:
    """What environments that stand have taken is in use, so it is not needed once more."""
    if standing:
        names = ", ".join(place.environment for place in standing)
        yield ok("environments", f"{names} stand already, so nothing more is counted for them")
    for quota in QUOTAS:
        needed = sum(quota.of(place) for place in coming)
        yield quota_check(quota, partial(look_at_quota, aws, quota, needed))
    yield quota_check(NAT_GATEWAYS, partial(look_at_nat_gateways, aws, coming))


def quota_check(quota: Quota, look_at: Check) -> Finding:
    try:
        return look_at()
    except AwsError as error:
        return not_seen(f"quota: {quota.title}", error)


def look_at_quota(aws: Aws, quota: Quota, needed: float) -> Finding:
    applied = quota_of(aws, quota)
    counted = COUNTED.get(quota.code)
    used = counted(aws) if counted else measured(aws, applied.get("UsageMetric"))
    return compare(quota, needed, applied["Value"], used)


def look_at_nat_gateways(aws: Aws, coming: Sequence[Place]) -> Finding:
    """A bound of each zone, so the fullest decides."""
    limit, used, needed = quota_of(aws, NAT_GATEWAYS)["Value"], nat_gateways_by_zone(aws), nat_by_zone(coming)
    zones = sorted({*needed, *used}) or [aws.region]
    fullest = max(zones, key=lambda zone: needed[zone] + used[zone] if needed[zone] else 0)
    return compare(NAT_GATEWAYS, needed[fullest], limit, used[fullest], f" in {fullest}")


def quota_of(aws: Aws, quota: Quota) -> dict[str, Any]:
    """The account's own value; AWS's default where the account has none of its own."""
    codes = {"ServiceCode": quota.service, "QuotaCode": quota.code}
    try:
        return dict(aws.call("service-quotas", "get_service_quota", **codes)["Quota"])
    except AwsError as error:
        if error.code != "NoSuchResourceException":
            raise
    return dict(aws.call("service-quotas", "get_aws_default_service_quota", **codes)["Quota"])


def compare(quota: Quota, needed: float, limit: float, used: float | None, where: str = "") -> Finding:
    check = f"quota: {quota.title}"
    taken = "use unknown" if used is None else f"{used:g} in use"
    available = limit - (used or 0)
    found = f"needed {needed:g}, available {available:g}{where} ({limit:g}, {taken})"
    if needed > available:
        raised = f"--service-code {quota.service} --quota-code {quota.code} --desired-value"
        todo = f"`aws service-quotas request-service-quota-increase {raised} {needed + (used or 0):g}`"
        return fail(check, found, f"{todo}, or free some")
    return ok(check, found)


def look_at_class(check: str, aws: Aws, instance_class: str, places: Sequence[Place]) -> Finding:
    """Offered in this region for our PostgreSQL, in enough of the zones."""
    options = aws.pages(
        "rds",
        "describe_orderable_db_instance_options",
        "OrderableDBInstanceOptions",
        Engine="postgres",
        DBInstanceClass=instance_class,
    )
    fitting = [one for one in options if one["EngineVersion"].split(".")[0] == POSTGRESQL_MAJOR]
    zones = {zone["Name"] for option in fitting for zone in option["AvailabilityZones"]}
    users = ", ".join(place.environment for place in places)
    for place in places:
        there = len(zones & set(place.zones))
        if there < (2 if place.has_standby else 1):
            found = f"{instance_class} ({users}): PostgreSQL {POSTGRESQL_MAJOR} in {there} of {place.zones}"
            return fail(check, found, "choose another `platform.database.instance_class` or other zones")
    return ok(check, f"{instance_class} ({users}) with PostgreSQL {POSTGRESQL_MAJOR}")


def look_at_service_roles(check: str, aws: Aws) -> Finding:
    missing = []
    for role in SERVICE_ROLES:
        try:
            aws.call("iam", "get_role", RoleName=role)
        except AwsError as error:
            if error.code != "NoSuchEntity":
                raise
            missing.append(role)
    if missing:
        who = ", ".join(SERVICE_ROLES[role] for role in missing)
        return ok(check, f"AWS makes those of {who} at the first use, with iam:CreateServiceLinkedRole")
    return ok(check, "all there")


CHECKS: Final[dict[Callable[..., Finding], str]] = {
    look_at_configured_region: "region of this shell",
    look_at_region: "region",
    look_at_domain: "domain",
    look_at_zones: "availability zones",
    look_at_class: "database class",
    look_at_service_roles: "service-linked roles",
}
