# One instance in a group of one: when it dies, another takes its place, its volume and its name.

locals {
  identifier   = "${var.name}-timescale"
  server_count = var.mode == "ec2" ? 1 : 0

  # Graviton's types have a `g` after their generation.
  architecture      = can(regex("^([a-z]+[0-9]+g[a-z]*|a1)[.]", var.instance_type)) ? "arm64" : "amd64"
  ami_ssm_parameter = var.ami_ssm_parameter != null ? var.ami_ssm_parameter : "/aws/service/debian/release/13/latest/${local.architecture}"
  image_id          = var.ami_id != null ? var.ami_id : one(data.aws_ssm_parameter.image[*].insecure_value)

  # The account's own, since the group's name says which group a call is about.
  group_arn = "arn:${local.partition}:autoscaling:${var.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.identifier}"

  # What the script is told; every value is validated, and none is secret.
  settings = var.mode == "cloud" ? {} : {
    DATABASE            = var.database_name
    KEY_FINGERPRINT     = var.versions.repository_key_fingerprint
    NAME                = local.identifier
    POSTGRESQL_MAJOR    = var.versions.postgresql
    RECORD_NAME         = local.record_name
    REGION              = var.region
    SECRET_ARN          = var.secret_arn
    SSM_AGENT_VERSION   = var.versions.ssm_agent
    TIMESCALEDB_PACKAGE = var.versions.edition == "apache" ? "timescaledb-2-oss" : "timescaledb-2"
    TIMESCALEDB_VERSION = var.versions.timescaledb
    VOLUME_TAG          = local.volume_tag
    ZONE_ID             = local.zone_id
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_subnet" "this" {
  count = local.server_count

  id = var.subnet_id
}

data "aws_ssm_parameter" "image" {
  count = var.mode == "ec2" && var.ami_id == null ? 1 : 0

  name = local.ami_ssm_parameter
}

resource "aws_launch_template" "this" {
  count = local.server_count

  name        = local.identifier
  description = "TimescaleDB of ${var.name}"

  image_id               = local.image_id
  instance_type          = var.instance_type
  vpc_security_group_ids = [aws_security_group.this[0].id]
  update_default_version = true
  tags                   = var.tags

  user_data = base64encode(join("\n", concat(
    ["#!/bin/bash"],
    [for key, value in local.settings : "export ${key}='${value}'"],
    [file("${path.module}/boot.sh")],
  )))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this[0].arn
  }

  # Its own token, which no process in a container and no forwarded request can fetch.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  # The system's disk, encrypted by the account's key for EBS: nothing of the data is on it.
  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted             = true
      volume_type           = "gp3"
      volume_size           = 16
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = local.identifier, (local.instance_tag) = local.identifier })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = "${local.identifier}-system" })
  }
}

resource "aws_autoscaling_group" "this" {
  count = local.server_count

  name                = local.identifier
  vpc_zone_identifier = [var.subnet_id]
  min_size            = var.stopped ? 0 : 1
  max_size            = var.stopped ? 0 : 1
  desired_capacity    = var.stopped ? 0 : 1

  # The instance reports itself when its database does not answer.
  health_check_type         = "EC2"
  health_check_grace_period = 900
  wait_for_capacity_timeout = "0"

  # The old one ends before the new one begins: only one may hold the volume.
  instance_maintenance_policy {
    min_healthy_percentage = 0
    max_healthy_percentage = 100
  }

  launch_template {
    id      = aws_launch_template.this[0].id
    version = aws_launch_template.this[0].latest_version
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = local.identifier })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  # What the first boot needs. And it ends before its volume does, so that the last snapshot is of a server that stopped.
  depends_on = [
    aws_backup_selection.this,
    aws_ebs_volume.this,
    aws_iam_role_policy.this,
    aws_iam_role_policy_attachment.session,
    aws_route53_record.this,
    aws_vpc_security_group_egress_rule.this,
  ]
}
