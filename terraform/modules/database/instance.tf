# The database itself. It has no public address, and there is no input that would give it one.

locals {
  # Begin and end of both windows in minutes of the day, and their lengths.
  backup_minutes = [
    for time in regex("^([0-9:]+)-([0-9:]+)$", var.backup_window) : tonumber(split(":", time)[0]) * 60 + tonumber(split(":", time)[1])
  ]
  backup_length = (local.backup_minutes[1] - local.backup_minutes[0] + 1440) % 1440
  maintenance_minutes = [
    for time in regex("^[a-z]{3}:([0-9:]+)-[a-z]{3}:([0-9:]+)$", var.maintenance_window) : tonumber(split(":", time)[0]) * 60 + tonumber(split(":", time)[1])
  ]
  maintenance_days = [
    for day in regex("^([a-z]{3}):[0-9:]+-([a-z]{3}):[0-9:]+$", var.maintenance_window) : index(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], day)
  ]
  maintenance_length = ((local.maintenance_days[1] - local.maintenance_days[0]) * 1440 + local.maintenance_minutes[1] - local.maintenance_minutes[0] + 10080) % 10080

  identifier = "${var.name}-database"
  family     = "postgres${split(".", var.engine_version)[0]}"
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_293:Deletion protection is on unless the caller says otherwise, which production may not
  #checkov:skip=CKV_AWS_353:Performance Insights is on unless performance_insights.enabled says otherwise
  #checkov:skip=CKV2_AWS_69:rds.force_ssl is 1 in the parameter group, which a scanner cannot follow through its dynamic block
  #checkov:skip=CKV2_AWS_30:Statements are counted by pg_stat_statements; in the log their text would carry tenants' values
  identifier = local.identifier

  engine                      = "postgres"
  engine_version              = var.engine_version
  allow_major_version_upgrade = var.allow_major_version_upgrade
  auto_minor_version_upgrade  = var.auto_minor_version_upgrade
  instance_class              = var.instance_class
  parameter_group_name        = aws_db_parameter_group.this.name
  ca_cert_identifier          = var.ca_cert_identifier
  apply_immediately           = var.apply_immediately
  maintenance_window          = var.maintenance_window

  storage_type          = "gp3"
  allocated_storage     = var.storage.allocated_gib
  max_allocated_storage = var.storage.max_gib
  iops                  = var.storage.iops
  storage_throughput    = var.storage.throughput
  storage_encrypted     = true
  kms_key_id            = local.kms_key_arn

  db_name                             = var.database_name
  username                            = var.master_username
  password_wo                         = var.password
  password_wo_version                 = var.password_version
  manage_master_user_password         = var.manage_master_user_password ? true : null
  master_user_secret_kms_key_id       = var.manage_master_user_password ? local.kms_key_arn : null
  iam_database_authentication_enabled = var.iam_authentication_enabled

  port                   = var.port
  db_subnet_group_name   = var.subnet_group_name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  multi_az               = var.multi_az

  # Point-in-time recovery comes with a retention above 0.
  backup_retention_period   = var.backup_retention_days
  backup_window             = var.backup_window
  copy_tags_to_snapshot     = true
  delete_automated_backups  = !var.production
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = var.skip_final_snapshot
  final_snapshot_identifier = var.skip_final_snapshot ? null : coalesce(var.final_snapshot_identifier, "${local.identifier}-final")
  snapshot_identifier       = var.snapshot_identifier

  performance_insights_enabled          = var.performance_insights.enabled
  performance_insights_kms_key_id       = var.performance_insights.enabled ? local.kms_key_arn : null
  performance_insights_retention_period = var.performance_insights.enabled ? var.performance_insights.retention_days : null
  database_insights_mode                = var.performance_insights.advanced ? "advanced" : "standard"
  monitoring_interval                   = var.monitoring_interval
  monitoring_role_arn                   = var.monitoring_interval > 0 ? aws_iam_role.monitoring[0].arn : null
  enabled_cloudwatch_logs_exports       = var.log_exports

  dynamic "restore_to_point_in_time" {
    for_each = var.restore_to_point_in_time == null ? [] : [var.restore_to_point_in_time]

    content {
      source_db_instance_identifier = restore_to_point_in_time.value.source_instance_id
      restore_time                  = restore_to_point_in_time.value.time
      use_latest_restorable_time    = restore_to_point_in_time.value.time == null ? true : null
    }
  }

  dynamic "blue_green_update" {
    for_each = var.blue_green_update ? [true] : []

    content {
      enabled = true
    }
  }

  tags = var.tags

  # Where it was restored from is history, once it stands.
  lifecycle {
    ignore_changes = [restore_to_point_in_time, snapshot_identifier]

    precondition {
      condition     = local.backup_length >= 30
      error_message = "backup_window must last at least 30 minutes."
    }

    precondition {
      condition     = local.maintenance_length >= 30 && local.maintenance_length < 1440
      error_message = "maintenance_window must last at least 30 minutes and less than a day."
    }

    precondition {
      # On the clock's circle each window begins no sooner than the other one ends.
      condition = (
        (local.maintenance_minutes[0] - local.backup_minutes[0] + 1440) % 1440 >= local.backup_length &&
        (local.backup_minutes[0] - local.maintenance_minutes[0] + 1440) % 1440 >= local.maintenance_length
      )
      error_message = "maintenance_window must not overlap backup_window, which recurs every day: choose other hours for one of them."
    }
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]
}
