"""Whether names that Terraform is going to give are taken, which only its apply would tell."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from app.core.aws import Aws, AwsDenied, AwsError
from app.doctor.report import Finding, fail, ok, warn

GITHUB: Final = "token.actions.githubusercontent.com"
BUCKET, REPOSITORY, PROVIDER = "state bucket", "image repository", "GitHub as identity provider"


def look_at_account_names(aws: Aws, common: Mapping[str, Any], account: str) -> Iterator[Finding]:
    """What the stack bootstrap names. Where its bucket stands, the others are its own too."""
    bucket = f"{common['slug']}-terraform-state-{account}"
    try:
        ours = bucket in {one["Name"] for one in aws.call("s3", "list_buckets").get("Buckets", [])}
        yield look_at_bucket(aws, bucket, ours=ours)
    except AwsError as error:
        yield unseen(BUCKET, error)
        return
    if ours:
        return
    yield one_name(REPOSITORY, common["slug"], lambda: has_repository(aws, common["slug"]))
    if common.get("github_repository"):
        yield one_name(PROVIDER, GITHUB, lambda: has_provider(aws))


def look_at_bucket(aws: Aws, bucket: str, *, ours: bool) -> Finding:
    """Names of buckets are shared by all accounts of AWS."""
    if ours:
        return ok(BUCKET, f"{bucket} is this account's: the stack bootstrap was applied")
    try:
        aws.call("s3", "head_bucket", Bucket=bucket)
    except AwsDenied:
        return fail(BUCKET, f"{bucket} belongs to another account", "choose another `slug` in common.tfvars")
    except AwsError as error:
        if error.code in {"404", "NoSuchBucket"}:
            return ok(BUCKET, f"{bucket} is free; the stack bootstrap makes it")
        raise
    return fail(BUCKET, f"{bucket} belongs to another account", "choose another `slug` in common.tfvars")


def one_name(check: str, name: str, is_taken: Callable[[], bool]) -> Finding:
    try:
        if is_taken():
            return fail(check, f"{name} is there already", "delete it or import it into the stack bootstrap")
    except AwsError as error:
        return unseen(check, error)
    return ok(check, f"{name} is free")


def look_at_names(aws: Aws, name: str) -> Finding:
    """What the stack platform names within the account, of an environment that does not stand."""
    check, taken, lacking = f"names of {name}", [], []
    for look_for in LOOKED_FOR:
        try:
            taken += look_for(aws, name)
        except AwsDenied as error:
            lacking.append(error.permission)
        except AwsError as error:
            return unseen(check, error)
    if taken:
        todo = "delete them for good (`aws secretsmanager delete-secret --force-delete-without-recovery`)"
        return fail(check, f"taken: {', '.join(taken)}", f"{todo} or import them")
    if lacking:
        return warn(
            check, f"not all looked at: {', '.join(lacking)} is not allowed", "allow it, or look yourself"
        )
    return ok(check, "none is taken")


def unseen(check: str, error: AwsError) -> Finding:
    if isinstance(error, AwsDenied):
        return warn(check, f"not looked at: {error}", f"allow {error.permission}, or look yourself")
    return fail(check, str(error), "try again")


def has_repository(aws: Aws, name: str) -> bool:
    return bool(
        unless("RepositoryNotFoundException", aws, "ecr", "describe_repositories", repositoryNames=[name])
    )


def has_provider(aws: Aws) -> bool:
    providers = aws.call("iam", "list_open_id_connect_providers")["OpenIDConnectProviderList"]
    return any(one["Arn"].endswith(f"/{GITHUB}") for one in providers)


def unless(code: str, aws: Aws, service: str, operation: str, **parameters: Any) -> Any:
    """What AWS answers; None for the code that says there is none."""
    try:
        return aws.call(service, operation, **parameters)
    except AwsError as error:
        if error.code == code:
            return None
        raise


def _databases(aws: Aws, name: str) -> list[str]:
    wanted = f"{name}-database"
    found = unless("DBInstanceNotFound", aws, "rds", "describe_db_instances", DBInstanceIdentifier=wanted)
    return [f"database {wanted}"] if found else []


def _caches(aws: Aws, name: str) -> list[str]:
    wanted = f"{name}-cache"
    operation, code = "describe_replication_groups", "ReplicationGroupNotFoundFault"
    found = unless(code, aws, "elasticache", operation, ReplicationGroupId=wanted)
    return [f"cache {wanted}"] if found else []


def _load_balancers(aws: Aws, name: str) -> list[str]:
    found = unless("LoadBalancerNotFound", aws, "elbv2", "describe_load_balancers", Names=[name])
    return [f"load balancer {name}"] if found else []


def _clusters(aws: Aws, name: str) -> list[str]:
    clusters = aws.call("ecs", "describe_clusters", clusters=[name])["clusters"]
    return [f"cluster {one['clusterName']}" for one in clusters if one["status"] == "ACTIVE"]


def _secrets(aws: Aws, name: str) -> list[str]:
    """Deleted ones keep their names until their time is over. The cache's user comes before the platform."""
    listed = aws.pages(
        "secretsmanager",
        "list_secrets",
        "SecretList",
        IncludePlannedDeletion=True,
        Filters=[{"Key": "name", "Values": [f"{name}/"]}],
    )
    return [
        f"secret {one['Name']}" + (" (waits for its deletion)" if one.get("DeletedDate") else "")
        for one in listed
        if one.get("DeletedDate") or one["Name"] != f"{name}/cache-user"
    ]


LOOKED_FOR: Final = (_databases, _caches, _load_balancers, _clusters, _secrets)
