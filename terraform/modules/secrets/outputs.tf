output "arns" {
  description = "Secrets, by name."
  value       = { for key, secret in aws_secretsmanager_secret.this : key => secret.arn }

  # Who reads a secret finds it filled and guarded.
  depends_on = [aws_secretsmanager_secret_policy.this, aws_secretsmanager_secret_version.this]
}

output "kms_key_arn" {
  description = "Key the secrets are encrypted with; who reads them needs it."
  value       = local.kms_key_arn
}

output "read_policies" {
  description = "Policy documents, by the reader given in `readers`."
  value       = local.read_policies
}
