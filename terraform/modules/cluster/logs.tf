# Log groups of the cluster and the firewall, and the key that encrypts them when none is given.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # Known not to be null before the key is made, so that who is given it can count by it.
  kms_key_arn = coalesce(var.kms_key_arn, one(aws_kms_key.this[*].arn))
  log_groups  = "arn:${local.partition}:logs:${var.region}:${local.account_id}:log-group:*"
}

resource "aws_kms_key" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "Logs and execute-command sessions of the cluster ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = local.key_policy
  tags                    = var.tags
}

resource "aws_kms_alias" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.name}-cluster"
  target_key_id = aws_kms_key.this[0].key_id
}

locals {
  key_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # The account administers its key through IAM; without this nobody could.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = local.log_groups } }
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "exec" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the caller's choice; 90 days unless said otherwise
  name              = "/ecs-exec/${var.name}"
  kms_key_id        = local.kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_cloudwatch_log_group" "insights" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the caller's choice; 90 days unless said otherwise
  name              = "/aws/ecs/containerinsights/${var.name}/performance"
  kms_key_id        = local.kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_cloudwatch_log_group" "waf" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the caller's choice; 90 days unless said otherwise
  # The firewall writes only to groups with this prefix.
  name              = "aws-waf-logs-${var.name}"
  kms_key_id        = local.kms_key_arn
  retention_in_days = var.log_retention_days
  tags              = var.tags
}
