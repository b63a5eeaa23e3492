locals {
  arn = local.nodes == null ? one(aws_elasticache_serverless_cache.this[*].arn) : one(aws_elasticache_replication_group.this[*].arn)
}

output "arn" {
  description = "ARN of the cache."
  value       = local.arn
}

output "connect_policy_documents" {
  description = "By IAM user, the policy (JSON) of a role that logs in as it."
  value = {
    for key, user in aws_elasticache_user.iam : key => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid      = "ConnectToCache"
        Effect   = "Allow"
        Action   = "elasticache:Connect"
        Resource = [local.arn, user.arn]
      }]
    })
  }
}

output "endpoint" {
  description = "Host name that takes reads and writes, without the port."
  value       = local.nodes == null ? one(flatten(aws_elasticache_serverless_cache.this[*].endpoint)[*].address) : one(aws_elasticache_replication_group.this[*].primary_endpoint_address)
}

output "iam_user_names" {
  description = "Name each IAM user logs in with."
  value       = { for key, user in aws_elasticache_user.iam : key => user.user_name }
}

output "id" {
  description = "Identifier of the replication group or of the serverless cache."
  value       = local.identifier
}

output "kms_key_arn" {
  description = "Key of the data, snapshots and logs."
  value       = local.kms_key_arn
}

output "log_group_names" {
  description = "Log groups of the cache."
  value       = sort([for group in aws_cloudwatch_log_group.this : group.name])
}

output "member_cluster_ids" {
  description = "Identifiers of the nodes, as CloudWatch's dimension `CacheClusterId`; empty when serverless."
  value       = local.nodes == null ? [] : [for number in range(1 + local.nodes.replicas) : format("%s-%03d", local.identifier, number + 1)]
}

output "port" {
  description = "Port of the cache."
  value       = 6379
}

output "reader_endpoint" {
  description = "Host name that takes reads only; a serverless cache answers them on port 6380."
  value       = local.nodes == null ? one(flatten(aws_elasticache_serverless_cache.this[*].reader_endpoint)[*].address) : one(aws_elasticache_replication_group.this[*].reader_endpoint_address)
}

output "security_group_id" {
  description = "Security group of the cache."
  value       = aws_security_group.this.id
}

output "user_group_id" {
  description = "User group whose users may log in."
  value       = aws_elasticache_user_group.this.user_group_id
}
