# The cache without nodes: it grows with its use, up to the ceilings that are given.

resource "aws_elasticache_serverless_cache" "this" {
  count = var.serverless == null ? 0 : 1

  name                 = local.identifier
  description          = "Valkey of ${var.name}"
  engine               = "valkey"
  major_engine_version = split(".", var.engine_version)[0]

  kms_key_id         = local.kms_key_arn
  subnet_ids         = var.subnet_ids
  security_group_ids = [aws_security_group.this.id]
  user_group_id      = aws_elasticache_user_group.this.user_group_id

  daily_snapshot_time      = split("-", var.snapshot_window)[0]
  snapshot_retention_limit = var.snapshot_retention_days

  cache_usage_limits {
    data_storage {
      maximum = var.serverless.max_storage_gb
      unit    = "GB"
    }

    ecpu_per_second {
      maximum = var.serverless.max_ecpu_per_second
    }
  }

  tags = var.tags
}
