# The secrets, and their values where they are written here.

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:A value is changed by raising value_version, or by whoever fills the secret; no function could make a provider's key
  for_each = var.secrets

  name                    = "${var.name}/${each.key}"
  description             = each.value.description
  kms_key_id              = local.kms_key_arn
  recovery_window_in_days = each.value.recovery_window_days
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each = { for key, secret in var.secrets : key => secret if secret.value_version != null }

  secret_id = aws_secretsmanager_secret.this[each.key].id

  # Sent only when the version is new; AWS refuses an empty value then, so a forgotten one is not written as such.
  secret_string_wo         = lookup(var.values, each.key, "")
  secret_string_wo_version = each.value.value_version
}

resource "aws_secretsmanager_secret_policy" "this" {
  for_each = aws_secretsmanager_secret.this

  secret_arn          = each.value.arn
  block_public_policy = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "secretsmanager:*"
      Resource  = "*" # In the policy of a secret: this secret.
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
