# The cache on nodes of its own: one primary that takes every write, and replicas in other zones.

locals {
  identifier = "${var.name}-cache"
  family     = "valkey${split(".", var.engine_version)[0]}"
  nodes      = var.serverless != null ? null : var.nodes != null ? var.nodes : { replicas = 1, type = "cache.t4g.small" }

  # Begin and end of both windows in minutes of the day, and their lengths.
  snapshot_minutes = [
    for time in regex("^([0-9:]+)-([0-9:]+)$", var.snapshot_window) : tonumber(split(":", time)[0]) * 60 + tonumber(split(":", time)[1])
  ]
  snapshot_length = (local.snapshot_minutes[1] - local.snapshot_minutes[0] + 1440) % 1440
  maintenance_minutes = [
    for time in regex("^[a-z]{3}:([0-9:]+)-[a-z]{3}:([0-9:]+)$", var.maintenance_window) : tonumber(split(":", time)[0]) * 60 + tonumber(split(":", time)[1])
  ]
  maintenance_days = [
    for day in regex("^([a-z]{3}):[0-9:]+-([a-z]{3}):[0-9:]+$", var.maintenance_window) : index(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], day)
  ]
  maintenance_length = ((local.maintenance_days[1] - local.maintenance_days[0]) * 1440 + local.maintenance_minutes[1] - local.maintenance_minutes[0] + 10080) % 10080
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_31:Users log in through the user group; a token for all would stand in the state
  #checkov:skip=CKV2_AWS_50:Failover across zones is on as soon as there is a replica, which production must have
  count = local.nodes == null ? 0 : 1

  replication_group_id = local.identifier
  description          = "Valkey of ${var.name}"

  engine                     = "valkey"
  engine_version             = var.engine_version
  auto_minor_version_upgrade = var.auto_minor_version_upgrade
  parameter_group_name       = aws_elasticache_parameter_group.this[0].name
  apply_immediately          = var.apply_immediately
  maintenance_window         = var.maintenance_window

  node_type                  = local.nodes.type
  num_cache_clusters         = 1 + local.nodes.replicas
  automatic_failover_enabled = local.nodes.replicas > 0
  multi_az_enabled           = local.nodes.replicas > 0

  port               = 6379
  subnet_group_name  = aws_elasticache_subnet_group.this[0].name
  security_group_ids = [aws_security_group.this.id]

  at_rest_encryption_enabled = true
  kms_key_id                 = local.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]

  snapshot_retention_limit  = var.snapshot_retention_days
  snapshot_window           = var.snapshot_window
  final_snapshot_identifier = var.skip_final_snapshot ? null : coalesce(var.final_snapshot_identifier, "${local.identifier}-final")

  dynamic "log_delivery_configuration" {
    for_each = aws_cloudwatch_log_group.this

    content {
      destination      = log_delivery_configuration.value.name
      destination_type = "cloudwatch-logs"
      log_format       = "json"
      log_type         = log_delivery_configuration.key
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = local.snapshot_length >= 60
      error_message = "snapshot_window must last at least 60 minutes."
    }

    precondition {
      condition     = local.maintenance_length >= 60 && local.maintenance_length < 1440
      error_message = "maintenance_window must last at least 60 minutes and less than a day."
    }

    precondition {
      # On the clock's circle each window begins no sooner than the other one ends.
      condition = (
        (local.maintenance_minutes[0] - local.snapshot_minutes[0] + 1440) % 1440 >= local.snapshot_length &&
        (local.snapshot_minutes[0] - local.maintenance_minutes[0] + 1440) % 1440 >= local.maintenance_length
      )
      error_message = "maintenance_window must not overlap snapshot_window, which recurs every day: choose other hours for one of them."
    }
  }
}

resource "aws_elasticache_subnet_group" "this" {
  count = local.nodes == null ? 0 : 1

  name        = local.identifier
  description = "Valkey of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_elasticache_parameter_group" "this" {
  count = local.nodes == null ? 0 : 1

  # The family is in the name, so that the next major version's group can stand beside this one during an upgrade.
  name        = "${local.identifier}-${local.family}"
  description = "Valkey of ${var.name}"
  family      = local.family

  # It holds streams, limits and jobs: an error when it is full is better than losing some of them silently.
  dynamic "parameter" {
    for_each = merge(var.parameters, { "maxmemory-policy" = "noeviction" })

    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}
