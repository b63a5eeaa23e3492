# Read replicas, each as big as the primary unless it says otherwise.

resource "aws_db_instance" "replica" {
  #checkov:skip=CKV_AWS_133:The backups of the primary hold all of a replica's data
  #checkov:skip=CKV_AWS_293:Deletion protection is on unless the caller says otherwise, which production may not
  #checkov:skip=CKV_AWS_353:Performance Insights is on unless performance_insights.enabled says otherwise
  #checkov:skip=CKV2_AWS_69:rds.force_ssl is 1 in the parameter group, which a scanner cannot follow through its dynamic block
  #checkov:skip=CKV2_AWS_30:Statements are counted by pg_stat_statements; in the log their text would carry tenants' values
  #checkov:skip=CKV_AWS_157:A replica may be single-zone; whether it is, is its entry's choice
  for_each = var.replicas

  identifier          = "${local.identifier}-${each.key}"
  replicate_source_db = aws_db_instance.this.identifier

  instance_class             = coalesce(each.value.instance_class, var.instance_class)
  auto_minor_version_upgrade = var.auto_minor_version_upgrade
  parameter_group_name       = aws_db_parameter_group.this.name
  ca_cert_identifier         = var.ca_cert_identifier
  apply_immediately          = var.apply_immediately
  maintenance_window         = var.maintenance_window

  # The key is the primary's, as it must be within a region.
  storage_type          = "gp3"
  max_allocated_storage = var.storage.max_gib
  iops                  = var.storage.iops
  storage_throughput    = var.storage.throughput
  storage_encrypted     = true

  iam_database_authentication_enabled = var.iam_authentication_enabled

  port                   = var.port
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  multi_az               = each.value.multi_az

  # Its data is the primary's, whose backups and final snapshot hold all of it.
  backup_retention_period = 0
  copy_tags_to_snapshot   = true
  deletion_protection     = var.deletion_protection
  skip_final_snapshot     = true

  performance_insights_enabled          = var.performance_insights.enabled
  performance_insights_kms_key_id       = var.performance_insights.enabled ? local.kms_key_arn : null
  performance_insights_retention_period = var.performance_insights.enabled ? var.performance_insights.retention_days : null
  database_insights_mode                = var.performance_insights.advanced ? "advanced" : "standard"
  monitoring_interval                   = var.monitoring_interval
  monitoring_role_arn                   = var.monitoring_interval > 0 ? aws_iam_role.monitoring[0].arn : null
  enabled_cloudwatch_logs_exports       = var.log_exports

  tags = var.tags

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]
}
