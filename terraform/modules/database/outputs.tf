output "arn" {
  description = "ARN of the primary."
  value       = aws_db_instance.this.arn
}

output "endpoint" {
  description = "Host name of the primary, without the port."
  value       = aws_db_instance.this.address
}

output "iam_user_arn_prefix" {
  description = "Append a login to it, and `rds-db:connect` on that ARN lets a role log in with IAM."
  value       = "arn:${local.partition}:rds-db:${var.region}:${local.account_id}:dbuser:${aws_db_instance.this.resource_id}/"
}

output "instance_id" {
  description = "Identifier of the primary, as CloudWatch's dimension `DBInstanceIdentifier`."
  value       = aws_db_instance.this.identifier
}

output "kms_key_arn" {
  description = "Key of the storage and of the secret RDS keeps; who reads that secret needs `kms:Decrypt` on it."
  value       = local.kms_key_arn
}

output "log_group_names" {
  description = "Log groups of the database, its replicas and its proxy."
  value       = sort([for group in aws_cloudwatch_log_group.this : group.name])
}

output "master_secret_arn" {
  description = "Secret with the master password, when RDS manages it; otherwise null."
  value       = var.manage_master_user_password ? one(aws_db_instance.this.master_user_secret[*].secret_arn) : null
}

output "master_username" {
  description = "Login of the master user."
  value       = aws_db_instance.this.username
}

output "name" {
  description = "Database that was created first."
  value       = var.database_name
}

output "port" {
  description = "Port of the primary and its replicas."
  value       = var.port
}

output "proxy_endpoint" {
  description = "Host name of the proxy, which listens on 5432; null without one."
  value       = one(aws_db_proxy.this[*].endpoint)
}

output "proxy_security_group_id" {
  description = "Security group of the proxy; null without one."
  value       = one(aws_security_group.proxy[*].id)
}

output "replica_endpoints" {
  description = "Host name of each replica, by its key."
  value       = { for key, replica in aws_db_instance.replica : key => replica.address }
}

output "replica_instance_ids" {
  description = "Identifier of each replica, by its key."
  value       = { for key, replica in aws_db_instance.replica : key => replica.identifier }
}

output "security_group_id" {
  description = "Security group of the primary and its replicas."
  value       = aws_security_group.this.id
}
