# RDS Proxy, when asked for: TLS only, its passwords from Secrets Manager.

locals {
  proxy_count = var.proxy == null ? 0 : 1
  managed_secret = var.manage_master_user_password ? {
    master = one(aws_db_instance.this.master_user_secret[*].secret_arn)
  } : {}
  proxy_secret_arns = var.proxy == null ? {} : merge(var.proxy.secret_arns, local.managed_secret)
  # What encrypts the caller's secrets; ours encrypts the master secret.
  proxy_kms_key_arns = var.proxy == null ? [] : concat(
    tolist(var.proxy.secret_kms_key_arns),
    var.manage_master_user_password ? [local.kms_key_arn] : [],
  )
}

resource "aws_db_proxy" "this" {
  count = local.proxy_count

  name                   = local.identifier
  engine_family          = "POSTGRESQL"
  role_arn               = aws_iam_role.proxy[0].arn
  require_tls            = true
  debug_logging          = false
  idle_client_timeout    = var.proxy.idle_client_timeout
  vpc_subnet_ids         = var.proxy.subnet_ids
  vpc_security_group_ids = [aws_security_group.proxy[0].id]
  tags                   = var.tags

  dynamic "auth" {
    for_each = local.proxy_secret_arns

    content {
      auth_scheme               = "SECRETS"
      client_password_auth_type = "POSTGRES_SCRAM_SHA_256"
      description               = auth.key
      iam_auth                  = var.proxy.iam_required ? "REQUIRED" : "DISABLED"
      secret_arn                = auth.value
    }
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.proxy]
}

resource "aws_db_proxy_default_target_group" "this" {
  count = local.proxy_count

  db_proxy_name = aws_db_proxy.this[0].name

  connection_pool_config {
    connection_borrow_timeout    = 10
    max_connections_percent      = var.proxy.max_connections_percent
    max_idle_connections_percent = floor(var.proxy.max_connections_percent / 2)
  }
}

resource "aws_db_proxy_target" "this" {
  count = local.proxy_count

  db_proxy_name          = aws_db_proxy.this[0].name
  target_group_name      = aws_db_proxy_default_target_group.this[0].name
  db_instance_identifier = aws_db_instance.this.identifier
}

resource "aws_iam_role" "proxy" {
  count = local.proxy_count

  name        = "${local.identifier}-proxy"
  description = "The proxy of ${local.identifier} reads its passwords with it"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "rds.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "proxy" {
  count = local.proxy_count

  name = "read-secrets"
  role = aws_iam_role.proxy[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = values(local.proxy_secret_arns)
      }],
      length(local.proxy_kms_key_arns) == 0 ? [] : [{
        Sid       = "DecryptSecrets"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = local.proxy_kms_key_arns
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
      }],
    )
  })
}
