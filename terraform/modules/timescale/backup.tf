# Snapshots of the data volume, kept in an encrypted vault.

resource "aws_backup_vault" "this" {
  count = local.server_count

  name          = local.identifier
  kms_key_arn   = local.kms_key_arn
  force_destroy = var.skip_final_snapshot
  tags          = var.tags
}

resource "aws_backup_plan" "this" {
  count = local.server_count

  name = local.identifier
  tags = var.tags

  rule {
    rule_name           = "daily"
    target_vault_name   = aws_backup_vault.this[0].name
    schedule            = var.backup.schedule
    start_window        = 60
    completion_window   = 360
    recovery_point_tags = var.tags

    lifecycle {
      delete_after = var.backup.retention_days
    }
  }
}

resource "aws_backup_selection" "this" {
  count = local.server_count

  name         = "data-volume"
  plan_id      = aws_backup_plan.this[0].id
  iam_role_arn = aws_iam_role.backup[0].arn
  resources    = [aws_ebs_volume.this[0].arn]
}

resource "aws_iam_role" "backup" {
  count = local.server_count

  name        = "${local.identifier}-backup"
  description = "AWS Backup takes and restores snapshots of ${local.identifier} with it"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "backup.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "backup" {
  for_each = var.mode == "cloud" ? [] : toset(["AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"])

  role       = aws_iam_role.backup[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/${each.key}"
}
