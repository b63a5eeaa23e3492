"""The commands of a deployment do in AWS what they say, print nothing secret, and fail in one line."""

import json
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws_emulator.launcher import ACCOUNT, AwsEmulator
from tests.conftest import run_cookiecutter
from tests.deploy.deployed import (
    BOOT,
    DOMAIN,
    TERRAFORM,
    Deployed,
    assert_nothing_secret,
    boot_variables,
    role,
    secret_names,
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    with AwsEmulator() as running:
        yield running


@pytest.fixture(scope="module")
def baked(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("baked")
    answers = {"project_slug": "acme", "aws_region": "us-east-1", "domain_name": DOMAIN}
    result = run_cookiecutter(template, home / "out", answers, home=home)
    assert result.code == 0, result.output
    return result.project


@pytest.fixture
def deployed(baked: Path, project_python: Path, emulator: AwsEmulator, tmp_path: Path) -> Iterator[Deployed]:
    """In an account with nothing in it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    made = Deployed(Path(shutil.copytree(baked, tmp_path / "acme")), project_python, emulator, tools)
    made.tool("terraform", TERRAFORM)
    yield made
    emulator.reset()


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why."""
    lines = [line for line in finished.stderr.splitlines() if not line.startswith("make")]
    assert finished.returncode != 0
    assert finished.stdout == ""
    assert len(lines) == 1, finished.stderr
    return lines[0].removeprefix("error: ")


# The cache's user


def test_the_cache_gets_a_user_whose_password_is_kept(deployed: Deployed) -> None:
    made = deployed.make("cache-user", ENV="dev")
    assert made.returncode == 0, made.stderr
    (user,) = deployed.client("elasticache").describe_users(UserId="acme-dev-app")["Users"]
    assert (user["UserName"], user["Engine"]) == ("app", "valkey")
    assert user["Authentication"] == {"Type": "password", "PasswordCount": 1}
    values = deployed.secret_values()
    assert json.loads(values["acme-dev/cache-user"])["username"] == "app"
    assert_nothing_secret(made, {"password": json.loads(values["acme-dev/cache-user"])["password"]})
    again = deployed.make("cache-user", ENV="dev")
    assert "acme-dev-app exists already; nothing was changed" in again.stderr
    assert deployed.secret_values() == values


def test_a_user_whose_making_was_cut_short_is_made(deployed: Deployed) -> None:
    """The secret is first. A longer name that begins alike is another secret."""
    secrets = deployed.client("secretsmanager")
    secrets.create_secret(Name="acme-dev/cache-user-before", SecretString="kept")
    assert deployed.make("cache-user", ENV="dev").returncode == 0
    deployed.client("elasticache").delete_user(UserId="acme-dev-app")
    said = refused(deployed.make("cache-user", ENV="dev"))
    assert said == "acme-dev-app is being deleted: run this again when it is gone"
    assert deployed.make("cache-user", ENV="dev").returncode == 0
    assert deployed.client("elasticache").describe_users(UserId="acme-dev-app")["Users"]
    assert deployed.secret_values()["acme-dev/cache-user-before"] == "kept"


def test_a_secret_that_waits_for_its_deletion_is_not_written(deployed: Deployed) -> None:
    secrets = deployed.client("secretsmanager")
    secrets.create_secret(Name="acme-dev/cache-user", SecretString="{}")
    secrets.delete_secret(SecretId="acme-dev/cache-user", RecoveryWindowInDays=7)
    said = refused(deployed.make("cache-user", ENV="dev"))
    assert "`aws secretsmanager restore-secret --secret-id acme-dev/cache-user`" in said
    users = deployed.client("elasticache").describe_users()["Users"]
    assert [user["UserId"] for user in users] == ["default"]


# The secrets


def test_every_secret_is_filled_and_what_the_service_boots_with(deployed: Deployed) -> None:
    assert deployed.make("cache-user", ENV="dev").returncode == 0
    deployed.seed_platform()
    filled = deployed.make("secrets", ENV="dev")
    assert filled.returncode == 0, filled.stderr
    values = deployed.secret_values()
    named = {name: values[f"acme-dev/{name}"] for name in secret_names(deployed.root)}
    assert_nothing_secret(filled, values)
    booted = deployed.run(str(deployed.python), "-c", BOOT, **boot_variables(named, deployed.root))
    assert booted.returncode == 0, booted.stderr
    assert len(booted.stdout.strip()) == 43
    assert "@db.internal:5432/app?sslmode=require" in named["database_url"]
    assert named["redis_url"].startswith("rediss://app:")
    assert named["redis_url"].endswith("@cache.internal:6379/0")
    assert named["superuser_database_url"].endswith("@db.internal:5432/postgres?sslmode=require")


def test_filling_again_changes_only_what_rds_may_have_changed(deployed: Deployed) -> None:
    assert deployed.make("cache-user", ENV="dev").returncode == 0
    arns = deployed.seed_platform()
    assert deployed.make("secrets", ENV="dev").returncode == 0
    before = deployed.secret_values()
    master = next(name for name in before if name.startswith("rds!"))
    changed = json.dumps({"username": "master", "password": "Rotated/since:2"})
    deployed.client("secretsmanager").put_secret_value(SecretId=master, SecretString=changed)
    again = deployed.make("secrets", ENV="dev")
    after = deployed.secret_values()
    assert {name for name in arns if after[f"acme-dev/{name}"] != before[f"acme-dev/{name}"]} == {
        "superuser_database_url"
    }
    assert "master:Rotated%2Fsince%3A2@" in after["acme-dev/superuser_database_url"]
    assert again.stderr.count(" kept") == len(arns) - 1
    assert_nothing_secret(again, after)


def test_secrets_wait_for_the_platform_and_for_the_cache_user(deployed: Deployed) -> None:
    deployed.outputs("platform")
    assert refused(deployed.make("secrets", ENV="dev")) == "STACK=platform ENV=dev is not applied yet"
    deployed.seed_platform()
    finished = deployed.make("secrets", ENV="dev")
    assert finished.returncode != 0
    assert "error: GetSecretValue failed: ResourceNotFoundException" in finished.stderr
    assert_nothing_secret(finished, deployed.secret_values())


# One-off tasks


def seed_task(deployed: Deployed, exit_code: int) -> None:
    """What the stack service leaves for one task."""
    ec2, ecs = deployed.client("ec2"), deployed.client("ecs")
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])
    deployed.client("logs").create_log_group(logGroupName="/ecs/acme-dev/migrate")
    options = {"awslogs-group": "/ecs/acme-dev/migrate", "awslogs-stream-prefix": "migrate"}
    definition = ecs.register_task_definition(
        family="acme-dev-migrate", networkMode="awsvpc",
        containerDefinitions=[{
            "name": "migrate", "image": "app", "memory": 512, "command": ["migrate", "apply"],
            "environment": [{"name": "EMULATOR_EXIT_CODE", "value": str(exit_code)}],
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }],
    )["taskDefinition"]  # fmt: skip
    network = {
        "assignPublicIp": "DISABLED", "subnets": [subnet["SubnetId"]],
        "securityGroups": [groups["SecurityGroups"][0]["GroupId"]],
    }  # fmt: skip
    migrate = {
        "cluster": ecs.create_cluster(clusterName="acme-dev")["cluster"]["clusterArn"],
        "taskDefinition": definition["taskDefinitionArn"],
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
    }
    logs = {"migrate": "/ecs/acme-dev/migrate"}
    deployed.outputs("service", run_task={"migrate": migrate}, task_log_group_names=logs)


def test_a_task_runs_to_its_end_and_what_it_said_is_shown(deployed: Deployed) -> None:
    seed_task(deployed, 0)
    finished = deployed.make("task", ENV="dev", TASK="migrate")
    assert (finished.returncode, finished.stdout) == (0, "ran migrate apply\n"), finished.stderr


def test_a_task_that_fails_fails_the_command_after_its_log(deployed: Deployed) -> None:
    seed_task(deployed, 3)
    finished = deployed.make("task", ENV="dev", TASK="migrate")
    assert finished.returncode != 0
    assert finished.stdout == "ran migrate apply\n"
    assert "error: migrate ended with exit code 3: Essential container in task exited" in finished.stderr


def test_a_task_that_there_is_not_is_one_line(deployed: Deployed) -> None:
    seed_task(deployed, 0)
    assert refused(deployed.make("task", ENV="dev", TASK="migrat")) == "TASK=migrat: migrate"
    given = {"cluster": "nowhere", "taskDefinition": "acme-dev-migrate", "launchType": "FARGATE"}
    deployed.outputs("service", run_task={"migrate": given}, task_log_group_names={})
    said = refused(deployed.make("task", ENV="dev", TASK="migrate"))
    assert said.startswith("RunTask failed: ClusterNotFoundException")


# GitHub's variables


def seed_bootstrap(deployed: Deployed) -> None:
    deployed.values("common.tfvars", ("github_repository = null", 'github_repository = "acme@12/api@34"'))
    names = ["build", *(f"{one}-{kind}" for one in ("dev", "production") for kind in ("plan", "deploy"))]
    deployed.outputs(
        "bootstrap", role_arns={name: role(name) for name in names},
        repository_url=f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/acme",
    )  # fmt: skip


def variables_of(output: str) -> dict[tuple[str, str], str]:
    """Values by environment and name, from commands or from what a stand-in for gh wrote down."""
    found = {}
    for line in output.splitlines():
        words = shlex.split(line)
        assert words[:3] == ["gh", "variable", "set"]
        options = dict(zip(words[4::2], words[5::2], strict=True))
        assert options.pop("--repo") == "acme/api"
        found[options.get("--env", ""), words[3]] = options["--body"]
    return found


EXPECTED = {
    ("", "AWS_ACCOUNT_ID"): ACCOUNT,
    ("", "AWS_BUILD_ROLE_ARN"): role("build"),
    ("", "AWS_REGION"): "us-east-1",
    ("", "ECR_REPOSITORY_URL"): f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/acme",
    ("dev", "AWS_DEPLOY_ROLE_ARN"): role("dev-deploy"),
    ("dev", "ECS_CLUSTER"): "acme-dev",
    ("dev-plan", "AWS_PLAN_ROLE_ARN"): role("dev-plan"),
    ("production", "AWS_DEPLOY_ROLE_ARN"): role("production-deploy"),
    ("production", "ECS_CLUSTER"): "acme-production",
    ("production-plan", "AWS_PLAN_ROLE_ARN"): role("production-plan"),
}


def test_the_variables_of_the_workflows_are_shown_and_set_only_when_told(deployed: Deployed) -> None:
    seed_bootstrap(deployed)
    shown = deployed.make("github-variables")
    assert shown.returncode == 0, shown.stderr
    assert variables_of(shown.stdout) == EXPECTED
    one = deployed.make("github-variables", ENV="dev")
    assert variables_of(one.stdout) == {
        key: value for key, value in EXPECTED.items() if key[0] in {"dev", "dev-plan"}
    }
    assert (
        refused(deployed.make("github-variables", APPLY="1")) == "gh is not installed: https://cli.github.com"
    )
    calls = deployed.tools / "calls"
    deployed.tool("gh", f'#!/bin/sh\necho gh "$@" >> {shlex.quote(str(calls))}\n')
    applied = deployed.make("github-variables", APPLY="1")
    assert (applied.returncode, applied.stdout) == (0, "")
    assert variables_of(calls.read_text()) == EXPECTED


def test_what_gh_refuses_ends_it(deployed: Deployed) -> None:
    seed_bootstrap(deployed)
    deployed.tool("gh", "#!/bin/sh\necho no such environment >&2\nexit 1\n")
    finished = deployed.make("github-variables", ENV="dev", APPLY="1")
    assert finished.returncode != 0
    assert "no such environment\nerror: `gh variable set AWS_PLAN_ROLE_ARN" in finished.stderr


def test_without_roles_there_is_nothing_to_set(deployed: Deployed) -> None:
    deployed.outputs("bootstrap")
    assert refused(deployed.make("github-variables")) == "STACK=bootstrap is not applied yet"
    deployed.outputs("bootstrap", role_arns={})
    assert "set github_repository in common.tfvars" in refused(deployed.make("github-variables"))
    seed_bootstrap(deployed)
    assert "made no role for it" in refused(deployed.make("github-variables", ENV="staging"))


# app doctor --aws


def found_in(findings: list[dict[str, str]], outcome: str) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in findings if finding["outcome"] == outcome}


@pytest.fixture
def account(deployed: Deployed) -> Deployed:
    """An account that is ready for a first apply of dev."""
    deployed.client("route53").create_hosted_zone(Name=DOMAIN, CallerReference="test")
    return deployed


def test_an_account_that_is_ready_is_ok_throughout(account: Deployed) -> None:
    before = account.emulator.holdings()
    code, findings = account.doctor("--environment", "dev")
    assert [finding for finding in findings if finding["outcome"] != "ok"] == []
    assert code == 0
    told = {finding["check"]: finding["found"] for finding in findings}
    assert told["identity"].startswith(f"account {ACCOUNT}, arn:")
    assert told["quota: Elastic IPs"] == "needed 1, available 5 (5, 0 in use)"
    assert told["quota: ElastiCache nodes"] == "needed 1, available 300 (300, 0 in use)"
    assert told["quota: Fargate vCPU"] == "needed 0.5, available 6 (6, 0 in use)"
    assert told["quota: NAT gateways"] == "needed 1, available 5 in us-east-1a (5, 0 in use)"
    assert told["database class"] == "db.t4g.small (dev) with PostgreSQL 18"
    assert told["state bucket"] == f"acme-terraform-state-{ACCOUNT} is free; the stack bootstrap makes it"
    shown = account.make("doctor", AWS="1", ENV="dev")
    assert {line.split()[0] for line in shown.stdout.splitlines()} == {"ok"}, shown.stderr
    assert account.emulator.holdings() == before, "it changes nothing"


def test_all_environments_together_need_more_than_a_new_account_has(account: Deployed) -> None:
    """Five addresses are just enough; of Fargate a rollout of production alone takes four times the quota."""
    code, findings = account.doctor()
    assert code == 1
    failed = found_in(findings, "fail")
    assert set(failed) == {"quota: Fargate vCPU"}
    assert failed["quota: Fargate vCPU"]["found"].startswith("needed 27, available 6")
    assert (
        "--service-code fargate --quota-code L-3032A538 --desired-value 27`"
        in (failed["quota: Fargate vCPU"]["todo"])
    )


def test_what_is_in_use_is_not_available(account: Deployed) -> None:
    ec2 = account.client("ec2")
    for _ in range(5):
        ec2.allocate_address(Domain="vpc")
    for number in range(4):
        ec2.create_vpc(CidrBlock=f"10.{100 + number}.0.0/16")
    told = {"Class": "Standard/OnDemand", "Resource": "vCPU", "Service": "Fargate", "Type": "Resource"}
    dimensions = [{"Name": name, "Value": value} for name, value in told.items()]
    used = {"MetricName": "ResourceCount", "Value": 5.75, "Dimensions": dimensions}
    account.client("cloudwatch").put_metric_data(Namespace="AWS/Usage", MetricData=[used])
    code, findings = account.doctor("--environment", "dev")
    failed = found_in(findings, "fail")
    assert (code, set(failed)) == (1, {"quota: VPCs", "quota: Elastic IPs", "quota: Fargate vCPU"})
    assert failed["quota: Elastic IPs"]["found"] == "needed 1, available 0 (5, 5 in use)"
    assert "--quota-code L-0263D0A3 --desired-value 6`" in failed["quota: Elastic IPs"]["todo"]
    assert failed["quota: Fargate vCPU"]["found"] == "needed 0.5, available 0.25 (6, 5.75 in use)"


def test_gateways_are_counted_in_the_fullest_zone(account: Deployed) -> None:
    ec2 = account.client("ec2")
    zone = [{"Name": "availability-zone", "Values": ["us-east-1a"]}]
    subnet = ec2.describe_subnets(Filters=zone)["Subnets"][0]["SubnetId"]
    for _ in range(5):
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")
    failed = found_in(account.doctor("--environment", "dev")[1], "fail")
    assert failed["quota: NAT gateways"]["found"] == "needed 1, available 0 in us-east-1a (5, 5 in use)"


def test_an_environment_that_stands_is_not_counted_twice(account: Deployed) -> None:
    ec2 = account.client("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "acme-dev"}]}]
    ec2.create_vpc(CidrBlock="10.10.0.0/16", TagSpecifications=tags)
    account.seed_platform()
    code, findings = account.doctor("--environment", "dev")
    told = {finding["check"]: finding["found"] for finding in findings}
    assert code == 0
    assert told["environments"] == "dev stand already, so nothing more is counted for them"
    assert told["quota: VPCs"] == "needed 0, available 3 (5, 2 in use)"
    assert "names of acme-dev" not in told


def test_another_region_or_one_that_is_not_enabled_is_noticed(account: Deployed) -> None:
    code, findings = account.doctor("--environment", "dev", AWS_REGION="eu-west-1")
    assert (code, set(found_in(findings, "fail"))) == (1, {"region of this shell"})
    account.values("common.tfvars", ("us-east-1", "ap-east-1"))
    failed = found_in(account.doctor("--environment", "dev", AWS_REGION="ap-east-1")[1], "fail")
    assert failed["region"]["todo"].startswith("`aws account enable-region --region-name ap-east-1`")
    account.values("common.tfvars", ("ap-east-1", "eu-east-9"))
    code, findings = account.doctor("--environment", "dev", AWS_REGION="eu-east-9")
    assert found_in(findings, "fail")["region"]["found"] == "AWS has no region eu-east-9"
    assert set(found_in(findings, "skip")) == {"everything in the region"}


def test_the_domain_needs_one_public_zone(deployed: Deployed) -> None:
    route53, vpcs = deployed.client("route53"), deployed.client("ec2").describe_vpcs()["Vpcs"]
    route53.create_hosted_zone(Name=f"shop.{DOMAIN}", CallerReference="below")
    route53.create_hosted_zone(
        Name=DOMAIN, CallerReference="private", HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "us-east-1", "VPCId": vpcs[0]["VpcId"]},
    )  # fmt: skip
    failed = found_in(deployed.doctor("--environment", "dev")[1], "fail")
    assert failed["domain"]["found"] == f"no public zone {DOMAIN} in Route 53"
    for reference in ("one", "other"):
        route53.create_hosted_zone(Name=DOMAIN, CallerReference=reference)
    failed = found_in(deployed.doctor("--environment", "dev")[1], "fail")
    assert failed["domain"]["found"].startswith(f"2 public zones {DOMAIN}: ")


def test_zones_and_classes_that_aws_does_not_offer_are_noticed(account: Deployed) -> None:
    account.values("dev.tfvars", ("{ a = 0, b = 1 }", "{ a = 0, x = 1 }"), ("db.t4g.small", "db.m1.small"))
    failed = found_in(account.doctor("--environment", "dev")[1], "fail")
    assert set(failed) == {"availability zones", "database class"}
    assert failed["availability zones"]["found"] == "us-east-1x cannot be used by this account"
    assert "us-east-1a" in failed["availability zones"]["todo"]


def test_names_that_are_taken_are_noticed(account: Deployed) -> None:
    """Among them a secret that was deleted, whose name is free only after its time."""
    account.values("common.tfvars", ("github_repository = null", 'github_repository = "acme/api"'))
    secrets = account.client("secretsmanager")
    secrets.create_secret(Name="acme-dev/cache-user", SecretString="{}")
    secrets.create_secret(Name="acme-dev/jwt_keys", SecretString="{}")
    secrets.delete_secret(SecretId="acme-dev/jwt_keys", RecoveryWindowInDays=30)
    account.client("ecs").create_cluster(clusterName="acme-dev")
    account.client("ecr").create_repository(repositoryName="acme")
    account.client("iam").create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"]
    )
    as_another(account, "s3").create_bucket(Bucket=f"acme-terraform-state-{ACCOUNT}")
    failed = found_in(account.doctor("--environment", "dev")[1], "fail")
    assert set(failed) == {
        "GitHub as identity provider", "image repository", "names of acme-dev", "state bucket",
    }  # fmt: skip
    taken = failed["names of acme-dev"]["found"]
    assert taken == "taken: cluster acme-dev, secret acme-dev/jwt_keys (waits for its deletion)"
    assert failed["state bucket"]["found"].endswith("belongs to another account")


def as_another(account: Deployed, service: str) -> Any:
    """A client in another account."""
    arn = "arn:aws:iam::111122223333:role/other"
    other = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="other")["Credentials"]
    return boto3.client(
        service, endpoint_url=account.emulator.url, region_name="us-east-1",
        aws_access_key_id=other["AccessKeyId"], aws_secret_access_key=other["SecretAccessKey"],
        aws_session_token=other["SessionToken"],
    )  # fmt: skip


def test_after_bootstrap_its_names_are_its_own(account: Deployed) -> None:
    account.client("s3").create_bucket(Bucket=f"acme-terraform-state-{ACCOUNT}")
    account.client("ecr").create_repository(repositoryName="acme")
    code, findings = account.doctor("--environment", "dev")
    told = {finding["check"]: finding["found"] for finding in findings}
    assert (code, "image repository" in told) == (0, False)
    assert told["state bucket"].endswith("is this account's: the stack bootstrap was applied")


def test_what_one_may_not_look_at_is_named_and_the_rest_looked_at(account: Deployed) -> None:
    iam = account.client("iam")
    iam.create_user(UserName="ada")
    denied = [
        "ec2:DescribeAvailabilityZones", "iam:GetRole", "rds:DescribeDBInstances",
        "route53:ListHostedZonesByName", "s3:ListAllMyBuckets", "servicequotas:GetServiceQuota",
    ]  # fmt: skip
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": denied, "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="ada", PolicyName="most", PolicyDocument=document)
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    enforce(account.emulator, calls_before=0)
    try:
        code, findings = account.doctor(
            "--environment", "dev",
            AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"],
        )  # fmt: skip
    finally:
        enforce(account.emulator, calls_before=10**9)
    warned = found_in(findings, "warn")
    assert (code, found_in(findings, "fail")) == (0, {})
    assert {word for finding in warned.values() for word in denied if word in str(finding)} == set(denied)
    assert warned["domain"]["todo"] == "allow route53:ListHostedZonesByName, or look yourself"
    assert {"identity", "region"} <= set(found_in(findings, "ok"))


def enforce(emulator: AwsEmulator, *, calls_before: int) -> None:
    """Policies decide after so many calls."""
    request = urllib.request.Request(
        f"{emulator.url}/moto-api/reset-auth", str(calls_before).encode(), {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def test_nobody_and_no_network_are_one_line_in_seconds(account: Deployed) -> None:
    for variables, found in (
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no usable credentials of AWS"),
        ({"AWS_PROFILE": "nobody"}, "no usable credentials of AWS (ProfileNotFound): log in"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS did not answer"),
    ):
        finished = account.run(str(account.python), "-m", "app", "doctor", "--aws", **variables)
        (line,) = finished.stdout.splitlines()
        assert (finished.returncode, finished.stderr) == (1, "")
        assert line.startswith("fail  identity")
        assert found in line


def test_what_is_no_environment_is_refused(account: Deployed) -> None:
    finished = account.run(str(account.python), "-m", "app", "doctor", "--aws", "--environment", "prod")
    assert finished.returncode == 2
    assert "prod is none of dev, staging, production" in finished.stderr


def test_without_boto3_it_says_what_to_install(account: Deployed) -> None:
    """As in the image. The packages are those of the project, but for boto3."""
    hidden = "import sys; sys.modules['boto3'] = None; sys.argv[1:] = ['doctor', '--aws']; "
    begin = f"{hidden}from app.cli import main; main()"
    finished = account.run(str(account.python), "-c", begin, PYTHONPATH=str(account.root))
    assert finished.returncode == 1
    assert "boto3 is not installed -> install the dev requirements: `make init` does it" in finished.stdout


# The signing keys


SECRET = "acme-dev/jwt_keys"  # noqa: S105  # its name


def keys_command(deployed: Deployed, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return deployed.run(str(deployed.python), "-m", "app", "keys", *arguments, **variables)


def versions(deployed: Deployed) -> int:
    kept = deployed.client("secretsmanager").list_secret_version_ids(SecretId=SECRET, IncludeDeprecated=True)
    return len(kept["Versions"])


def test_the_keys_of_a_folder_are_published_once_and_never_shown(deployed: Deployed) -> None:
    arn = deployed.client("secretsmanager").create_secret(Name=SECRET)["ARN"]
    empty = keys_command(deployed, "rotate", "--secret", SECRET)
    assert refused(empty) == f"{SECRET}: is empty; `make secrets` or `keys publish` fills it"
    assert keys_command(deployed, "generate", "--directory", "keys").returncode == 0
    for _ in range(2):
        published = keys_command(deployed, "publish", "--directory", "keys", "--secret", SECRET)
        assert published.returncode == 0, published.stderr
        assert_nothing_secret(published, deployed.secret_values())
    assert "nothing was changed" in published.stderr
    assert versions(deployed) == 1
    held = json.loads(deployed.secret_values()[SECRET])
    assert held == {"current.pem": (deployed.root / "keys/current.pem").read_text()}
    # By its ARN, which says in which region it is.
    listed = keys_command(deployed, "list", "--secret", arn, AWS_REGION="", AWS_DEFAULT_REGION="")
    assert (listed.returncode, listed.stdout.split()[1]) == (0, "current"), listed.stderr


def test_keys_that_running_processes_do_not_know_are_not_published(deployed: Deployed) -> None:
    deployed.client("secretsmanager").create_secret(Name=SECRET)
    for folder in ("keys", "others"):
        assert keys_command(deployed, "generate", "--directory", folder).returncode == 0
    to_secret = ("--secret", SECRET)
    assert keys_command(deployed, "publish", "--directory", "keys", *to_secret).returncode == 0
    before = deployed.secret_values()
    said = refused(keys_command(deployed, "publish", "--directory", "others", *to_secret))
    assert "would sign, and what runs does not know it: publish it as next.pem first" in said
    assert deployed.secret_values() == before
    forced = keys_command(deployed, "publish", "--directory", "others", *to_secret, "--compromised")
    assert forced.returncode == 0, forced.stderr
    assert deployed.secret_values() != before


def test_the_keys_of_a_secret_are_rotated_there_and_never_touch_a_disk(deployed: Deployed) -> None:
    assert deployed.make("cache-user", ENV="dev").returncode == 0
    deployed.seed_platform()
    assert deployed.make("secrets", ENV="dev").returncode == 0
    before = set(deployed.root.rglob("*.pem"))
    values = [deployed.secret_values()[SECRET]]
    steps = (("--secret", SECRET), ("--secret", SECRET, "--now"))
    for step in steps:
        done = keys_command(deployed, "rotate", *step)
        assert done.returncode == 0, done.stderr
        assert "deploy now" in done.stderr
        values.append(deployed.secret_values()[SECRET])
        for value in values:
            assert_nothing_secret(done, {"keys": value})
    rings = [json.loads(value) for value in values]
    assert [len(ring) for ring in rings] == [1, 2, 2]
    assert rings[1]["current.pem"] == rings[0]["current.pem"]
    assert rings[2]["current.pem"] == rings[1]["next.pem"]
    assert rings[0]["current.pem"] not in values[2]
    early = refused(keys_command(deployed, "rotate", "--secret", SECRET))
    assert early.startswith("tokens of the retired key may still be in use: rotate again at ")
    assert deployed.secret_values()[SECRET] == values[2]
    assert set(deployed.root.rglob("*.pem")) == before
    again = deployed.make("secrets", ENV="dev")
    assert again.returncode == 0
    assert deployed.secret_values()[SECRET] == values[2], "a secret with a value keeps it"


RACE = """\
from datetime import UTC, datetime
from app.auth.key_secret import KeySecret
from app.auth.rotation import rotate
secret = KeySecret("acme-dev/jwt_keys")
one, other = secret.read(), secret.read()
secret.write(rotate(one.files, datetime.now(UTC)).files, replacing=one)
secret.write(rotate(other.files, datetime.now(UTC)).files, replacing=other)
"""


def test_two_who_rotate_the_same_keys_do_not_undo_each_other(deployed: Deployed) -> None:
    deployed.client("secretsmanager").create_secret(Name=SECRET)
    assert keys_command(deployed, "generate", "--directory", "keys").returncode == 0
    assert keys_command(deployed, "publish", "--directory", "keys", "--secret", SECRET).returncode == 0
    raced = deployed.run(str(deployed.python), "-c", RACE, PYTHONPATH=str(deployed.root))
    assert raced.returncode == 1
    assert "somebody else has just changed it" in raced.stderr.splitlines()[-1]
    assert versions(deployed) == 2


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("acme-dev/none", "acme-dev/none: no such secret; the stack platform makes it"),
        ("gone", "gone: waits for its deletion, which `aws secretsmanager restore-secret` ends"),
        ("foreign", "foreign: must be JSON with the contents of PEM files by their names"),
        ("wrong", "wrong: holds no current.pem"),
        ("bad", "bad: current.pem: not a readable, unencrypted PEM private key"),
    ],
)
def test_a_secret_that_holds_no_keys_is_refused_in_one_line(
    deployed: Deployed, secret: str, said: str
) -> None:
    secrets = deployed.client("secretsmanager")
    secrets.create_secret(Name="gone", SecretString="{}")
    secrets.delete_secret(SecretId="gone", RecoveryWindowInDays=7)
    secrets.create_secret(Name="foreign", SecretString="hunter2-hunter2")
    secrets.create_secret(Name="wrong", SecretString='{"hunter2": "hunter2"}')
    secrets.create_secret(Name="bad", SecretString='{"current.pem": "hunter2"}')
    assert refused(keys_command(deployed, "rotate", "--secret", secret)) == said
