# Plans on a mocked provider: what is made, and what each option changes.

mock_provider "aws" {
  # So that a plan knows them, and no run needs to apply.
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-west-1b" }
  }

  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-00000000000000001" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/made" }
  }

  mock_resource "aws_security_group" {
    defaults = { id = "sg-timescale" }
  }

  mock_resource "aws_route53_zone" {
    defaults = { zone_id = "Z0MADE" }
  }

  mock_resource "aws_ebs_volume" {
    defaults = {
      id  = "vol-0123456789abcdef0"
      arn = "arn:aws:ec2:eu-west-1:123456789012:volume/vol-0123456789abcdef0"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/mock" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  mode       = "ec2"
  name       = "acme-staging"
  region     = "eu-west-1"
  vpc_id     = "vpc-1"
  subnet_id  = "subnet-1"
  secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/timescale"
}

run "one_instance_that_heals" {
  command = plan

  assert {
    condition     = aws_autoscaling_group.this[0].min_size == 1 && aws_autoscaling_group.this[0].max_size == 1 && aws_autoscaling_group.this[0].desired_capacity == 1 && aws_autoscaling_group.this[0].vpc_zone_identifier == toset(["subnet-1"])
    error_message = "there is always one instance, in the volume's zone"
  }

  assert {
    condition     = aws_autoscaling_group.this[0].instance_maintenance_policy[0].min_healthy_percentage == 0 && aws_autoscaling_group.this[0].instance_maintenance_policy[0].max_healthy_percentage == 100
    error_message = "the old instance ends before the new one begins"
  }

  assert {
    condition     = aws_launch_template.this[0].metadata_options[0].http_tokens == "required" && aws_launch_template.this[0].metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 only, from the instance itself"
  }

  assert {
    condition     = aws_launch_template.this[0].key_name == null && alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.from_port == 5432]) && aws_iam_role_policy_attachment.session[0].policy_arn == "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    error_message = "sessions instead of SSH"
  }

  assert {
    condition     = aws_launch_template.this[0].block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "the system's disk is encrypted"
  }

  assert {
    condition     = aws_launch_template.this[0].image_id == "ami-00000000000000001" && data.aws_ssm_parameter.image[0].name == "/aws/service/debian/release/13/latest/arm64"
    error_message = "the image is Debian's newest for the type's architecture"
  }

  assert {
    condition = jsonencode({ for specification in aws_launch_template.this[0].tag_specifications : specification.resource_type => specification.tags }) == jsonencode({
      instance = { Name = "acme-staging-timescale", timescale-instance = "acme-staging-timescale" }
      volume   = { Name = "acme-staging-timescale-system" }
    })
    error_message = "the instance carries the tag its rights are bound to, and the system's disk does not carry the data volume's"
  }
}

run "the_volume_outlives_instances" {
  command = plan

  assert {
    condition     = aws_ebs_volume.this[0].encrypted && aws_ebs_volume.this[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/made" && aws_kms_key.this[0].enable_key_rotation
    error_message = "the volume is encrypted by the module's own rotating key"
  }

  assert {
    condition     = aws_ebs_volume.this[0].availability_zone == "eu-west-1b" && aws_ebs_volume.this[0].type == "gp3" && aws_ebs_volume.this[0].size == 100 && aws_ebs_volume.this[0].final_snapshot
    error_message = "it stands in the subnet's zone, and leaves a snapshot"
  }

  assert {
    condition     = aws_ebs_volume.this[0].tags == tomap({ Name = "acme-staging-timescale", timescale-volume = "acme-staging-timescale" })
    error_message = "it is found by its tag"
  }

  assert {
    condition     = aws_backup_vault.this[0].kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/made" && !aws_backup_vault.this[0].force_destroy && one([for rule in aws_backup_plan.this[0].rule : rule.lifecycle[0].delete_after]) == 35 && aws_backup_selection.this[0].resources == toset(["arn:aws:ec2:eu-west-1:123456789012:volume/vol-0123456789abcdef0"])
    error_message = "the volume is backed up every day to an encrypted vault"
  }
}

run "rights_are_bound_to_tags_and_names" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.this[0].policy).Statement : statement.Sid => flatten([statement.Action, statement.Resource]) } == {
      FindVolume           = ["ec2:DescribeVolumes", "*"]
      TakeVolume           = ["ec2:AttachVolume", "arn:aws:ec2:eu-west-1:123456789012:volume/*"]
      TakeVolumeToInstance = ["ec2:AttachVolume", "arn:aws:ec2:eu-west-1:123456789012:instance/*"]
      OpenVolume           = ["kms:CreateGrant", "arn:aws:kms:eu-west-1:123456789012:key/made"]
      UseKeyOfVolume       = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "arn:aws:kms:eu-west-1:123456789012:key/made"]
      ReadLogin            = ["secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/timescale"]
      SetOwnName           = ["route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0MADE"]
      AskForReplacement    = ["autoscaling:SetInstanceHealth", "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/acme-staging-timescale"]
    }
    error_message = "the instance has the rights its boot needs, and no others"
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.this[0].policy).Statement : statement.Sid => values(statement.Condition)[0] if contains(keys(statement), "Condition") } == {
      TakeVolume           = { "aws:ResourceTag/timescale-volume" = "acme-staging-timescale" }
      TakeVolumeToInstance = { "aws:ResourceTag/timescale-instance" = "acme-staging-timescale" }
      OpenVolume           = { "kms:GrantIsForAWSResource" = "true" }
      UseKeyOfVolume       = { "kms:ViaService" = "ec2.eu-west-1.amazonaws.com" }
      SetOwnName = {
        "route53:ChangeResourceRecordSetsActions"               = ["UPSERT"]
        "route53:ChangeResourceRecordSetsNormalizedRecordNames" = ["db.acme-staging-timescale.internal"]
        "route53:ChangeResourceRecordSetsRecordTypes"           = ["A"]
      }
    }
    error_message = "taking the volume is bound to both tags, and the name to its own record"
  }

  assert {
    condition     = aws_iam_role_policy_attachment.backup["AWSBackupServiceRolePolicyForBackup"].policy_arn == "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
    error_message = "AWS Backup has a role of its own"
  }
}

run "user_data_holds_names_and_no_secret" {
  command = plan

  assert {
    condition     = startswith(base64decode(aws_launch_template.this[0].user_data), "#!/bin/bash\nexport DATABASE='metering'\n")
    error_message = "the script begins with what it is told"
  }

  assert {
    condition = toset(regexall("(?m)^export [A-Z_]+='.*'$", base64decode(aws_launch_template.this[0].user_data))) == toset([
      "export DATABASE='metering'",
      "export KEY_FINGERPRINT='1005FB68604CE9B8F6879CF759F18EDF47F24417'",
      "export NAME='acme-staging-timescale'",
      "export POSTGRESQL_MAJOR='18'",
      "export RECORD_NAME='db.acme-staging-timescale.internal'",
      "export REGION='eu-west-1'",
      "export SECRET_ARN='arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/timescale'",
      "export SSM_AGENT_VERSION='latest'",
      "export TIMESCALEDB_PACKAGE='timescaledb-2'",
      "export TIMESCALEDB_VERSION='2.26.4'",
      "export VOLUME_TAG='timescale-volume'",
      "export ZONE_ID='Z0MADE'",
    ])
    error_message = "the script is told names and versions; it reads the password itself"
  }

  assert {
    condition     = length(base64decode(aws_launch_template.this[0].user_data)) < 16384
    error_message = "EC2 takes 16 KiB of user data"
  }
}

run "a_name_in_a_zone_of_its_own" {
  command = plan

  assert {
    condition     = aws_route53_zone.this[0].name == "acme-staging-timescale.internal" && one(aws_route53_zone.this[0].vpc).vpc_id == "vpc-1" && aws_route53_record.this[0].name == "db.acme-staging-timescale.internal" && aws_route53_record.this[0].records == toset(["192.0.2.1"]) && aws_route53_record.this[0].ttl == 10
    error_message = "a private zone holds the server's name"
  }

  assert {
    condition     = output.endpoint == "db.acme-staging-timescale.internal" && output.port == 5432 && output.name == "metering" && output.security_group_id == "sg-timescale" && output.secret_arn == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/timescale" && output.volume_id == "vol-0123456789abcdef0" && output.autoscaling_group_name == "acme-staging-timescale" && output.backup_vault_name == "acme-staging-timescale"
    error_message = "the outputs say where the server is"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.this) == 0 && { for key, rule in aws_vpc_security_group_egress_rule.this : key => "${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}" } == { everywhere = "0.0.0.0/0 443-443" }
    error_message = "nobody may connect unless named, and the instance speaks HTTPS only"
  }
}

run "options" {
  command = plan

  variables {
    allowed_security_group_ids = { consumer = "sg-consumer" }
    egress_cidr_blocks         = { vpc = "10.0.0.0/16" }
    ami_id                     = "ami-0123456789abcdef0"
    instance_type              = "m7i.large"
    kms_key_arn                = "arn:aws:kms:eu-west-1:123456789012:key/mine"
    secret_kms_key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/secrets"
    zone_id                    = "Z0MINE"
    zone_name                  = "internal.example.com"
    database_name              = "usage"
    snapshot_id                = "snap-0123456789abcdef0"
    volume                     = { size_gib = 500, iops = 6000, throughput = 500 }
    backup                     = { retention_days = 90, schedule = "cron(0 4 * * ? *)" }
    versions                   = { edition = "apache", postgresql = 17, timescaledb = "2.25.2", ssm_agent = "3.3.1611.0" }
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this["consumer"].referenced_security_group_id == "sg-consumer" && aws_vpc_security_group_egress_rule.this["vpc"].cidr_ipv4 == "10.0.0.0/16"
    error_message = "named clients may connect, and the way out can be narrowed"
  }

  assert {
    condition     = aws_launch_template.this[0].image_id == "ami-0123456789abcdef0" && length(data.aws_ssm_parameter.image) == 0 && aws_launch_template.this[0].instance_type == "m7i.large"
    error_message = "a given image is used, and none is looked up"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_ebs_volume.this[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/mine" && aws_backup_vault.this[0].kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/mine"
    error_message = "a given key is used, and none is made"
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.this[0].policy).Statement : statement.Resource if statement.Sid == "OpenLogin"] == [["arn:aws:kms:eu-west-1:123456789012:key/secrets"]]
    error_message = "a secret with a customer key can be opened"
  }

  assert {
    condition     = length(aws_route53_zone.this) == 0 && aws_route53_record.this[0].zone_id == "Z0MINE" && output.endpoint == "acme-staging-timescale.internal.example.com"
    error_message = "a given zone is used"
  }

  assert {
    condition     = aws_ebs_volume.this[0].size == 500 && aws_ebs_volume.this[0].iops == 6000 && aws_ebs_volume.this[0].throughput == 500 && aws_ebs_volume.this[0].snapshot_id == "snap-0123456789abcdef0" && one([for rule in aws_backup_plan.this[0].rule : "${rule.schedule} ${rule.lifecycle[0].delete_after}"]) == "cron(0 4 * * ? *) 90"
    error_message = "sizes, the snapshot and the schedule are taken"
  }

  assert {
    condition = alltrue([
      for line in ["TIMESCALEDB_PACKAGE='timescaledb-2-oss'", "POSTGRESQL_MAJOR='17'", "TIMESCALEDB_VERSION='2.25.2'", "SSM_AGENT_VERSION='3.3.1611.0'", "DATABASE='usage'"] :
      strcontains(base64decode(aws_launch_template.this[0].user_data), "export ${line}\n")
    ])
    error_message = "versions and edition reach the script"
  }
}

run "the_architecture_follows_the_type" {
  command = plan

  variables {
    instance_type = "r7i.xlarge"
  }

  assert {
    condition     = data.aws_ssm_parameter.image[0].name == "/aws/service/debian/release/13/latest/amd64"
    error_message = "Intel's and AMD's types take the other image"
  }
}

run "another_image_parameter" {
  command = plan

  variables {
    ami_ssm_parameter = "/acme/images/timescale"
  }

  assert {
    condition     = data.aws_ssm_parameter.image[0].name == "/acme/images/timescale"
    error_message = "the image can come from a parameter of one's own"
  }
}

run "what_is_not_production_may_vanish" {
  command = plan

  variables {
    production          = false
    skip_final_snapshot = true
    backup              = { retention_days = 1 }
  }

  assert {
    condition     = !aws_ebs_volume.this[0].final_snapshot && aws_backup_vault.this[0].force_destroy && one([for rule in aws_backup_plan.this[0].rule : rule.lifecycle[0].delete_after]) == 1
    error_message = "outside production each safety can be given up by name"
  }
}

run "a_stopped_server_leaves_its_volume" {
  command = plan

  variables {
    stopped = true
  }

  assert {
    condition     = aws_autoscaling_group.this[0].min_size == 0 && aws_autoscaling_group.this[0].max_size == 0 && aws_autoscaling_group.this[0].desired_capacity == 0 && length(aws_ebs_volume.this) == 1
    error_message = "no instance holds the volume"
  }
}

run "cloud_passes_a_secret_through" {
  command = plan

  variables {
    mode                 = "cloud"
    vpc_id               = null
    subnet_id            = null
    secret_arn           = null
    cloud_dsn_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/timescale-url"
  }

  assert {
    condition     = output.secret_arn == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/timescale-url" && output.endpoint == null && output.port == null && output.name == null && output.security_group_id == null && output.volume_id == null && output.role_arn == null && output.kms_key_arn == null && output.autoscaling_group_name == null && output.backup_vault_name == null
    error_message = "only the secret is named"
  }

  assert {
    condition     = length(aws_autoscaling_group.this) + length(aws_launch_template.this) + length(aws_ebs_volume.this) + length(aws_kms_key.this) + length(aws_backup_vault.this) + length(aws_backup_plan.this) + length(aws_backup_selection.this) + length(aws_iam_role.this) + length(aws_iam_role.backup) + length(aws_iam_role_policy.this) + length(aws_route53_zone.this) + length(aws_route53_record.this) + length(aws_security_group.this) + length(aws_vpc_security_group_egress_rule.this) + length(aws_iam_role_policy_attachment.backup) == 0
    error_message = "nothing is made"
  }
}
