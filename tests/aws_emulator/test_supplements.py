"""One test for each thing that moto lacks. All of them fail on moto alone, which a test of its own shows."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.aws_emulator.launcher import ROOT, AwsEmulator


class Clients:
    """A client of a service by its name with underscores: `clients.application_autoscaling`."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self._arguments = emulator.client_arguments()

    def __getattr__(self, service: str) -> Any:
        return boto3.client(service.replace("_", "-"), **self._arguments)


@pytest.fixture
def clients(aws_emulator: AwsEmulator) -> Clients:
    return Clients(aws_emulator)


@pytest.fixture
def name() -> str:
    """The emulator is shared, so every test has names of its own."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def subnet_ids(clients: Clients) -> list[str]:
    default = [{"Name": "default-for-az", "Values": ["true"]}]
    return [subnet["SubnetId"] for subnet in clients.ec2.describe_subnets(Filters=default)["Subnets"][:2]]


# Application Auto Scaling


def test_a_scalable_target_keeps_its_tags(clients: Clients, name: str) -> None:
    clients.ecs.create_cluster(clusterName=name)
    clients.ecs.create_service(cluster=name, serviceName=name, desiredCount=1)
    arn = clients.application_autoscaling.register_scalable_target(
        ServiceNamespace="ecs", ResourceId=f"service/{name}/{name}",
        ScalableDimension="ecs:service:DesiredCount", MinCapacity=1, MaxCapacity=2, Tags={"a": "1"},
    )["ScalableTargetARN"]  # fmt: skip
    clients.application_autoscaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    clients.application_autoscaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    told = clients.application_autoscaling.list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert told == {"b": "2"}


# Auto Scaling


def test_a_group_tells_how_many_it_keeps(clients: Clients, name: str, subnet_ids: list[str]) -> None:
    (image,) = clients.ec2.describe_images(Owners=["amazon"])["Images"][:1]
    template = {"ImageId": image["ImageId"], "InstanceType": "t4g.micro"}
    clients.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=template)
    policy = {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100}
    clients.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=0, VPCZoneIdentifier=subnet_ids[0],
        LaunchTemplate={"LaunchTemplateName": name}, InstanceMaintenancePolicy=policy,
    )  # fmt: skip
    told = clients.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    assert told["AutoScalingGroups"][0]["InstanceMaintenancePolicy"] == policy


# Backup


def test_a_backup_plan_has_selections(clients: Clients, name: str) -> None:
    backup = clients.backup
    rule = {"RuleName": "daily", "TargetBackupVaultName": name}
    plan = backup.create_backup_plan(BackupPlan={"BackupPlanName": name, "Rules": [rule]})["BackupPlanId"]
    chosen = {"SelectionName": "all", "IamRoleArn": "arn:aws:iam::123456789012:role/x", "Resources": ["*"]}
    made = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=chosen)["SelectionId"]
    told = backup.get_backup_selection(BackupPlanId=plan, SelectionId=made)
    assert told["BackupSelection"] == chosen
    listed = backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
    assert [item["SelectionId"] for item in listed] == [made]
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=made)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.get_backup_selection(BackupPlanId=plan, SelectionId=made)


def test_a_new_vault_holds_no_recovery_point(clients: Clients, name: str) -> None:
    clients.backup.create_backup_vault(BackupVaultName=name)
    told = clients.backup.list_recovery_points_by_backup_vault(BackupVaultName=name)
    assert told["RecoveryPoints"] == []


def test_the_tags_of_a_vault_are_told_to_a_client_that_asks_without_a_slash(
    clients: Clients, name: str, aws_emulator: AwsEmulator
) -> None:
    """As Go's does, and so Terraform; boto3 adds the slash."""
    arn = clients.backup.create_backup_vault(BackupVaultName=name, BackupVaultTags={"a": "1"})[
        "BackupVaultArn"
    ]
    credential = "AWS4-HMAC-SHA256 Credential=emulator/20260101/us-east-1/backup/aws4_request"
    request = urllib.request.Request(
        f"{aws_emulator.url}/tags/{urllib.parse.quote(arn, safe='')}",
        headers={"Authorization": f"{credential}, SignedHeaders=host, Signature=0"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["Tags"] == {"a": "1"}


# CloudWatch


def test_a_composite_alarm_is_made_told_and_deleted(clients: Clients, name: str) -> None:
    clients.cloudwatch.put_composite_alarm(
        AlarmName=name, AlarmRule="ALARM(other)", AlarmActions=["arn:aws:sns:us-east-1:123456789012:x"]
    )
    answer = clients.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    (alarm,) = answer["CompositeAlarms"]
    assert alarm["AlarmRule"] == "ALARM(other)"
    assert not clients.cloudwatch.describe_alarms(AlarmNames=[name])["CompositeAlarms"]
    clients.cloudwatch.delete_alarms(AlarmNames=[name])
    answer = clients.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    assert not answer["CompositeAlarms"]


# EC2


def test_a_subnet_tells_the_state_of_its_ipv6_block(clients: Clients) -> None:
    vpc = clients.ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    vpc = clients.ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"][0]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    subnet = clients.ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.9.0.0/24", Ipv6CidrBlock=block)
    (association,) = subnet["Subnet"]["Ipv6CidrBlockAssociationSet"]
    assert association["Ipv6CidrBlockState"] == {"State": "associated"}
    found = clients.ec2.describe_subnets(
        Filters=[
            {
                "Name": "ipv6-cidr-block-association.association-id",
                "Values": [association["AssociationId"]],
            }
        ]
    )
    assert [item["SubnetId"] for item in found["Subnets"]] == [subnet["Subnet"]["SubnetId"]]


@pytest.mark.parametrize("kind", ["UserIdGroupPairs", "PrefixListIds"])
def test_a_rule_keeps_its_description_whatever_its_source_is(clients: Clients, name: str, kind: str) -> None:
    ec2 = clients.ec2
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"]
    prefix_list = ec2.describe_managed_prefix_lists()["PrefixLists"][0]["PrefixListId"]
    source = {"GroupId": group} if kind == "UserIdGroupPairs" else {"PrefixListId": prefix_list}
    permission = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, kind: [{**source, "Description": "why"}]}
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    (told,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"]
    assert told["Description"] == "why"


def test_a_deleted_vpc_leaves_no_network_acl(clients: Clients) -> None:
    vpc = clients.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    assert clients.ec2.describe_network_acls(Filters=mine)["NetworkAcls"]
    clients.ec2.delete_vpc(VpcId=vpc)
    assert not clients.ec2.describe_network_acls(Filters=mine)["NetworkAcls"]


def test_a_terminated_instance_leaves_no_interface(
    clients: Clients, name: str, subnet_ids: list[str]
) -> None:
    """Also one that an Auto Scaling group launched."""
    (image,) = clients.ec2.describe_images(Owners=["amazon"])["Images"][:1]
    template = {"ImageId": image["ImageId"], "InstanceType": "t4g.micro"}
    clients.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=template)
    clients.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=1, MaxSize=1, VPCZoneIdentifier=subnet_ids[0],
        LaunchTemplate={"LaunchTemplateName": name},
    )  # fmt: skip
    (group,) = clients.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    identifier = group["Instances"][0]["InstanceId"]
    instance = clients.ec2.describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]
    interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    clients.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    with pytest.raises(ClientError, match="InvalidNetworkInterfaceID"):
        clients.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])


def test_a_launch_template_tells_the_tags_that_it_was_given_later(clients: Clients, name: str) -> None:
    template = {"InstanceType": "t4g.micro"}
    made = clients.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=template)
    identifier = made["LaunchTemplate"]["LaunchTemplateId"]
    tag = {"Key": "changed", "Value": "yes"}
    clients.ec2.create_tags(Resources=[identifier], Tags=[tag])
    (told,) = clients.ec2.describe_launch_templates(LaunchTemplateIds=[identifier])["LaunchTemplates"]
    assert told["Tags"] == [tag]


def test_a_deleted_nat_gateway_leaves_no_interface(clients: Clients, subnet_ids: list[str]) -> None:
    address = clients.ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = clients.ec2.create_nat_gateway(SubnetId=subnet_ids[0], AllocationId=address)["NatGateway"]
    interface = gateway["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    assert clients.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    clients.ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
    with pytest.raises(ClientError, match="InvalidNetworkInterfaceID"):
        clients.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])


# ECS


def test_a_service_tells_what_it_was_told(clients: Clients, name: str) -> None:
    told = {
        "availabilityZoneRebalancing": "ENABLED",
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}],
        "enableECSManagedTags": True,
        "enableExecuteCommand": True,
        "healthCheckGracePeriodSeconds": 90,
    }
    clients.ecs.create_cluster(clusterName=name)
    clients.ecs.create_service(cluster=name, serviceName=name, desiredCount=1, **told)
    (service,) = clients.ecs.describe_services(cluster=name, services=[name])["services"]
    assert {key: service.get(key) for key in told} == told
    assert "launchType" not in service
    clients.ecs.update_service(cluster=name, service=name, healthCheckGracePeriodSeconds=30)
    (service,) = clients.ecs.describe_services(cluster=name, services=[name])["services"]
    assert service["healthCheckGracePeriodSeconds"] == 30
    assert service["enableExecuteCommand"] is True


def run_task(clients: Clients, name: str, environment: list[dict[str, str]]) -> dict[str, Any]:
    """A task on Fargate, as it is when it is looked at first."""
    clients.logs.create_log_group(logGroupName=f"/ecs/{name}")
    options = {"awslogs-group": f"/ecs/{name}", "awslogs-stream-prefix": name, "awslogs-region": "us-east-1"}
    container = {
        "name": name, "image": "app", "memory": 512, "environment": environment,
        "command": ["migrate", "apply"],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }  # fmt: skip
    clients.ecs.create_cluster(clusterName=name)
    clients.ecs.register_task_definition(family=name, containerDefinitions=[container])
    started = clients.ecs.run_task(cluster=name, taskDefinition=name, launchType="FARGATE")["tasks"]
    told: dict[str, Any] = clients.ecs.describe_tasks(cluster=name, tasks=[started[0]["taskArn"]])["tasks"][0]
    return told


def test_a_task_ends_and_says_what_it_ran(clients: Clients, name: str) -> None:
    task = run_task(clients, name, [])
    assert (task["lastStatus"], task["containers"][0]["exitCode"]) == ("STOPPED", 0)
    stream = f"{name}/{name}/{task['taskArn'].rsplit('/', 1)[-1]}"
    events = clients.logs.get_log_events(logGroupName=f"/ecs/{name}", logStreamName=stream)["events"]
    assert [event["message"] for event in events] == ["ran migrate apply"]


def test_a_task_ends_with_the_code_that_its_container_is_given(clients: Clients, name: str) -> None:
    task = run_task(clients, name, [{"name": "EMULATOR_EXIT_CODE", "value": "3"}])
    assert (task["lastStatus"], task["containers"][0]["exitCode"]) == ("STOPPED", 3)


def test_a_task_whose_size_is_its_own_ends_and_leaves_nothing(
    clients: Clients, aws_emulator: AwsEmulator, name: str, subnet_ids: list[str]
) -> None:
    clients.ecs.create_cluster(clusterName=name)
    clients.ecs.register_task_definition(
        family=name, networkMode="awsvpc", containerDefinitions=[{"name": name, "image": "app"}],
        requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
    )  # fmt: skip
    before = aws_emulator.holdings()
    network = {"awsvpcConfiguration": {"subnets": subnet_ids[:1], "securityGroups": []}}
    clients.ecs.run_task(
        cluster=name, taskDefinition=name, launchType="FARGATE", networkConfiguration=network
    )
    assert aws_emulator.holdings() == before


# ElastiCache


def test_a_cache_parameter_group_is_made_changed_and_deleted(clients: Clients, name: str) -> None:
    cache = clients.elasticache
    group = cache.create_cache_parameter_group(
        CacheParameterGroupName=name, CacheParameterGroupFamily="valkey8", Description="x",
        Tags=[{"Key": "a", "Value": "1"}],
    )["CacheParameterGroup"]  # fmt: skip
    pair = {"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}
    cache.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=[pair])
    (told,) = cache.describe_cache_parameters(CacheParameterGroupName=name, Source="user")["Parameters"]
    assert told["ParameterValue"] == "noeviction"
    (found,) = cache.describe_cache_parameter_groups(CacheParameterGroupName=name)["CacheParameterGroups"]
    assert found["CacheParameterGroupFamily"] == "valkey8"
    assert cache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"]
    cache.reset_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=[pair])
    assert not cache.describe_cache_parameters(CacheParameterGroupName=name)["Parameters"]
    cache.delete_cache_parameter_group(CacheParameterGroupName=name)
    with pytest.raises(ClientError, match="CacheParameterGroupNotFound"):
        cache.describe_cache_parameter_groups(CacheParameterGroupName=name)


def test_a_user_group_is_made_changed_and_deleted(clients: Clients, name: str) -> None:
    cache = clients.elasticache
    group = cache.create_user_group(
        UserGroupId=name, Engine="valkey", UserIds=["a", "b"], Tags=[{"Key": "a", "Value": "1"}]
    )
    cache.modify_user_group(UserGroupId=name, UserIdsToAdd=["c"], UserIdsToRemove=["a"])
    (found,) = cache.describe_user_groups(UserGroupId=name)["UserGroups"]
    assert (found["UserIds"], found["Status"], found["Engine"]) == (["b", "c"], "active", "valkey")
    assert cache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"]
    cache.delete_user_group(UserGroupId=name)
    with pytest.raises(ClientError, match="UserGroupNotFound"):
        cache.describe_user_groups(UserGroupId=name)


def test_a_cache_subnet_group_can_be_deleted(clients: Clients, name: str, subnet_ids: list[str]) -> None:
    clients.elasticache.create_cache_subnet_group(
        CacheSubnetGroupName=name, CacheSubnetGroupDescription="x", SubnetIds=subnet_ids
    )
    clients.elasticache.delete_cache_subnet_group(CacheSubnetGroupName=name)
    with pytest.raises(ClientError, match="CacheSubnetGroupNotFound"):
        clients.elasticache.describe_cache_subnet_groups(CacheSubnetGroupName=name)


def test_a_replication_group_has_clusters_and_goes_with_them(clients: Clients, name: str) -> None:
    cache = clients.elasticache
    group = cache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="x", Engine="valkey", EngineVersion="8.0",
        NumCacheClusters=2, TransitEncryptionEnabled=True, AtRestEncryptionEnabled=True,
        CacheParameterGroupName="default.valkey8", SecurityGroupIds=["sg-1"],
    )["ReplicationGroup"]  # fmt: skip
    assert group["TransitEncryptionMode"] == "required"
    assert len(group["MemberClusters"]) == 2
    for member in group["MemberClusters"]:
        (cluster,) = cache.describe_cache_clusters(CacheClusterId=member)["CacheClusters"]
        assert (cluster["ReplicationGroupId"], cluster["TransitEncryptionMode"]) == (name, "required")
        assert (cluster["Engine"], cluster["EngineVersion"]) == ("valkey", "8.0")
        assert cluster["CacheParameterGroup"]["CacheParameterGroupName"] == "default.valkey8"
        assert cluster["SecurityGroups"] == [{"SecurityGroupId": "sg-1", "Status": "active"}]
    cache.delete_replication_group(ReplicationGroupId=name)
    with pytest.raises(ClientError, match="ReplicationGroupNotFound"):
        cache.describe_replication_groups(ReplicationGroupId=name)
    with pytest.raises(ClientError, match="CacheClusterNotFound"):
        cache.describe_cache_clusters(CacheClusterId=group["MemberClusters"][0])


# RDS


def test_a_subnet_group_outlasts_its_change(clients: Clients, name: str, subnet_ids: list[str]) -> None:
    clients.rds.create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=subnet_ids
    )
    clients.rds.modify_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="y", SubnetIds=subnet_ids
    )
    (group,) = clients.rds.describe_db_subnet_groups(DBSubnetGroupName=name)["DBSubnetGroups"]
    assert group["DBSubnetGroupDescription"] == "y"


def test_a_changed_parameter_is_a_users(clients: Clients, name: str) -> None:
    clients.rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres18", Description="x"
    )
    changed = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
    clients.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[changed])
    (told,) = clients.rds.describe_db_parameters(DBParameterGroupName=name)["Parameters"]
    assert told == {**changed, "Source": "user"}


@pytest.fixture
def instance(clients: Clients, name: str) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": name, "DBInstanceClass": "db.t4g.micro", "Engine": "postgres",
        "EngineVersion": "18.1", "AllocatedStorage": 20, "MasterUsername": "app",
        "MasterUserPassword": "not-a-secret", "BackupRetentionPeriod": 7,
        "EnableCloudwatchLogsExports": ["upgrade"],
    }  # fmt: skip


def test_an_instance_tells_its_performance_insights(clients: Clients, instance: dict[str, Any]) -> None:
    told = {"PerformanceInsightsKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/x",
            "PerformanceInsightsRetentionPeriod": 7, "DatabaseInsightsMode": "standard"}  # fmt: skip
    clients.rds.create_db_instance(**instance, EnablePerformanceInsights=True, **told)
    answer = clients.rds.describe_db_instances(DBInstanceIdentifier=instance["DBInstanceIdentifier"])
    (found,) = answer["DBInstances"]
    assert {key: found.get(key) for key in told} == told
    assert found["PerformanceInsightsEnabled"] is True


def test_a_replica_is_no_second_primary(clients: Clients, name: str, instance: dict[str, Any]) -> None:
    primary = clients.rds.create_db_instance(**instance, MultiAZ=True)["DBInstance"]
    replica = clients.rds.create_db_instance_read_replica(
        DBInstanceIdentifier=f"{name}-replica", SourceDBInstanceIdentifier=name
    )["DBInstance"]
    assert replica["DbiResourceId"] != primary["DbiResourceId"]
    assert (primary["MultiAZ"], replica["MultiAZ"]) == (True, False)
    assert (replica["BackupRetentionPeriod"], replica.get("EnabledCloudwatchLogsExports", [])) == (0, [])
    found = clients.rds.describe_db_instances(
        Filters=[{"Name": "dbi-resource-id", "Values": [replica["DbiResourceId"]]}]
    )
    assert [item["DBInstanceIdentifier"] for item in found["DBInstances"]] == [f"{name}-replica"]


def test_postgresql_is_offered_in_some_classes(clients: Clients) -> None:
    describe = clients.rds.describe_orderable_db_instance_options
    asked = {"Engine": "postgres", "DBInstanceClass": "db.m7g.large"}
    options = describe(**asked)["OrderableDBInstanceOptions"]
    assert {option["EngineVersion"].split(".")[0] for option in options} >= {"18"}
    assert {option["DBInstanceClass"] for option in options} == {"db.m7g.large"}
    assert {"Name": "us-east-1a"} in options[0]["AvailabilityZones"]
    assert describe(Engine="postgres", DBInstanceClass="db.m1.small")["OrderableDBInstanceOptions"] == []


# Route 53


def test_a_zone_with_a_vpc_is_private(clients: Clients, name: str) -> None:
    vpc = {"VPCId": clients.ec2.describe_vpcs()["Vpcs"][0]["VpcId"], "VPCRegion": "us-east-1"}
    made = clients.route53.create_hosted_zone(Name=f"{name}.internal", CallerReference=name, VPC=vpc)
    assert made["VPC"] == vpc
    told = clients.route53.get_hosted_zone(Id=made["HostedZone"]["Id"])
    assert told["HostedZone"]["Config"]["PrivateZone"] is True
    assert told["VPCs"] == [vpc]


def test_a_deleted_zone_leaves_no_name_servers(clients: Clients, name: str) -> None:
    def listed() -> int:
        return len(clients.route53.list_reusable_delegation_sets()["DelegationSets"])

    before = listed()
    zone = clients.route53.create_hosted_zone(Name=f"{name}.example", CallerReference=name)["HostedZone"]
    clients.route53.delete_hosted_zone(Id=zone["Id"])
    assert listed() == before


# S3


def test_a_lifecycle_rule_keeps_the_newest_old_versions(clients: Clients, name: str) -> None:
    clients.s3.create_bucket(Bucket=name)
    expiration = {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5}
    rule = {"ID": "old", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": expiration}
    clients.s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    (told,) = clients.s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    clients.s3.delete_bucket_lifecycle(Bucket=name)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        clients.s3.get_bucket_lifecycle_configuration(Bucket=name)
    assert told["NoncurrentVersionExpiration"] == expiration


def test_versions_are_deleted_one_by_one_after_versioning_was_suspended(clients: Clients, name: str) -> None:
    clients.s3.create_bucket(Bucket=name)
    for status in ("Enabled", "Suspended"):
        clients.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
        if status == "Enabled":
            clients.s3.put_object(Bucket=name, Key="state", Body=b"{}")
            clients.s3.delete_object(Bucket=name, Key="state")
    held = clients.s3.list_object_versions(Bucket=name)
    (version,), (marker,) = held["Versions"], held["DeleteMarkers"]

    def delete(one: dict[str, Any]) -> None:
        named = {"Key": "state", "VersionId": one["VersionId"]}
        clients.s3.delete_objects(Bucket=name, Delete={"Objects": [named]})

    delete(marker)
    assert [one["VersionId"] for one in clients.s3.list_object_versions(Bucket=name)["Versions"]] == [
        version["VersionId"]
    ]
    delete(version)
    clients.s3.delete_bucket(Bucket=name)


# Service Quotas


def test_quotas_of_more_than_networks_have_a_value(clients: Clients) -> None:
    quota = clients.service_quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]
    assert (quota["QuotaName"], quota["Value"]) == ("EC2-VPC Elastic IPs", 5.0)


def test_a_quota_without_a_value_of_the_account_has_a_default(clients: Clients) -> None:
    codes = {"ServiceCode": "elasticache", "QuotaCode": "L-DFE45DF3"}
    with pytest.raises(ClientError, match="NoSuchResource"):
        clients.service_quotas.get_service_quota(**codes)
    assert clients.service_quotas.get_aws_default_service_quota(**codes)["Quota"]["Value"] == 300.0


def test_a_quota_of_fargate_names_the_metric_of_its_use(clients: Clients) -> None:
    quota = clients.service_quotas.get_service_quota(ServiceCode="fargate", QuotaCode="L-3032A538")["Quota"]
    assert quota["UsageMetric"]["MetricNamespace"] == "AWS/Usage"
    assert quota["UsageMetric"]["MetricDimensions"]["Class"] == "Standard/OnDemand"


# SQS


def test_a_queue_tells_who_may_name_it_for_dead_letters(clients: Clients, name: str) -> None:
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    allowed = json.dumps({"redrivePermission": "denyAll"})
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedriveAllowPolicy": allowed})
    told = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedriveAllowPolicy"])
    assert told["Attributes"]["RedriveAllowPolicy"] == allowed
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedriveAllowPolicy": ""})
    told = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedriveAllowPolicy"])
    assert "Attributes" not in told


def test_a_queue_keeps_its_policy_when_another_attribute_is_set(clients: Clients, name: str) -> None:
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1"})
    told = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    assert json.loads(told["Attributes"]["Policy"])["Statement"] == [statement]


def test_a_redrive_policy_is_told_without_spaces(clients: Clients, name: str) -> None:
    dead = clients.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = clients.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5}, separators=(",", ":"))
    url = clients.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    told = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    assert told["Attributes"]["RedrivePolicy"] == policy


# SSM


def test_the_newest_image_of_debian_has_a_name(clients: Clients) -> None:
    answer = clients.ssm.get_parameter(Name="/aws/service/debian/release/13/latest/arm64")
    (image,) = clients.ec2.describe_images(ImageIds=[answer["Parameter"]["Value"]])["Images"]
    assert image["State"] == "available"


@pytest.mark.apply
def test_each_of_these_is_still_lacking_in_moto_alone(tmp_path: Path) -> None:
    """A test that passes here has a supplement that can go."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not apply", "--tb=no", "-rA", __file__],
        cwd=ROOT, env={**os.environ, "TERRACE_PLAIN_EMULATOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = finished.stdout.splitlines()
    assert [line for line in lines if line.startswith(("PASSED", "ERROR", "SKIPPED"))] == []
    assert [line for line in lines if line.startswith("FAILED")]


# Policies of buckets


def test_a_denial_under_a_condition_does_not_hit_everybody(clients: Clients, name: str) -> None:
    clients.s3.create_bucket(Bucket=name)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{name}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    clients.s3.put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    clients.s3.put_object(Bucket=name, Key="state", Body=b"{}")
    assert clients.s3.get_object(Bucket=name, Key="state")["Body"].read() == b"{}"
    del statement["Condition"]
    clients.s3.put_bucket_policy(
        Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
        clients.s3.get_object(Bucket=name, Key="state")
