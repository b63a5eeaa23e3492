output "autoscaling_group_name" {
  description = "Group of the one instance; null for `cloud`."
  value       = one(aws_autoscaling_group.this[*].name)
}

output "backup_vault_name" {
  description = "Vault of the backups; null for `cloud`."
  value       = one(aws_backup_vault.this[*].name)
}

output "endpoint" {
  description = "Host name of the server, without the port; null for `cloud`, whose secret holds it."
  value       = var.mode == "ec2" ? local.record_name : null
}

output "kms_key_arn" {
  description = "Key of the data volume and the backups; null for `cloud`."
  value       = local.kms_key_arn
}

output "name" {
  description = "Database with the extension; null for `cloud`."
  value       = var.mode == "ec2" ? var.database_name : null
}

output "port" {
  description = "Port of the server; null for `cloud`."
  value       = var.mode == "ec2" ? 5432 : null
}

output "role_arn" {
  description = "Role of the instance; null for `cloud`."
  value       = one(aws_iam_role.this[*].arn)
}

output "secret_arn" {
  description = "What clients read: for `ec2` the secret with username and password, for `cloud` the one with the URL."
  value       = var.mode == "ec2" ? var.secret_arn : var.cloud_dsn_secret_arn
}

output "security_group_id" {
  description = "Security group of the server; null for `cloud`."
  value       = one(aws_security_group.this[*].id)
}

output "volume_id" {
  description = "The data volume; null for `cloud`."
  value       = one(aws_ebs_volume.this[*].id)
}
