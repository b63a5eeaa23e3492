# Log groups made before RDS would make them without a key or an end, and the role of enhanced monitoring.

locals {
  log_groups = toset(concat(
    [for export in var.log_exports : "instance/${local.identifier}/${export}"],
    [for pair in setproduct(keys(var.replicas), var.log_exports) : "instance/${local.identifier}-${pair[0]}/${pair[1]}"],
    var.proxy == null ? [] : ["proxy/${local.identifier}"],
  ))
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the caller's choice; 90 days unless said otherwise
  for_each = local.log_groups

  name              = "/aws/rds/${each.key}"
  kms_key_id        = local.kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "monitoring" {
  count = var.monitoring_interval > 0 ? 1 : 0

  name        = "${local.identifier}-monitoring"
  description = "RDS writes operating system metrics of ${local.identifier} with it"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:rds:${var.region}:${local.account_id}:db:${local.identifier}*" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  count = var.monitoring_interval > 0 ? 1 : 0

  role       = aws_iam_role.monitoring[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
