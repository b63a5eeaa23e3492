# What the cache tells of itself.

locals {
  log_group_prefix = "/aws/elasticache/${local.identifier}"
  # A serverless cache delivers no logs.
  log_types = local.nodes == null ? [] : var.slow_log_enabled ? ["engine-log", "slow-log"] : ["engine-log"]
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the caller's choice; 90 days unless said otherwise
  for_each = toset(local.log_types)

  name              = "${local.log_group_prefix}/${each.key}"
  kms_key_id        = local.kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = var.tags
}
