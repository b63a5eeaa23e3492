# The data volume: it outlives every instance, and is found by its tag.

locals {
  volume_tag   = "timescale-volume"
  instance_tag = "timescale-instance"
  kms_key_arn  = var.mode == "cloud" ? null : var.kms_key_arn != null ? var.kms_key_arn : one(aws_kms_key.this[*].arn)
}

resource "aws_ebs_volume" "this" {
  count = local.server_count

  availability_zone = data.aws_subnet.this[0].availability_zone
  type              = "gp3"
  size              = var.volume.size_gib
  iops              = var.volume.iops
  throughput        = var.volume.throughput
  encrypted         = true
  kms_key_id        = local.kms_key_arn
  snapshot_id       = var.snapshot_id
  final_snapshot    = !var.skip_final_snapshot
  tags              = merge(var.tags, { Name = local.identifier, (local.volume_tag) = local.identifier })

  # Where it was restored from is history, once it stands.
  lifecycle {
    ignore_changes = [snapshot_id]
  }
}

resource "aws_kms_key" "this" {
  count = var.mode == "ec2" && var.kms_key_arn == null ? 1 : 0

  description             = "TimescaleDB of ${var.name}: its volume and backups"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # The account administers its key through IAM; without this nobody could.
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  count = var.mode == "ec2" && var.kms_key_arn == null ? 1 : 0

  name          = "alias/${local.identifier}"
  target_key_id = aws_kms_key.this[0].key_id
}
