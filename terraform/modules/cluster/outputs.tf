output "alb_arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "alb_arn_suffix" {
  description = "The load balancer's dimension in CloudWatch."
  value       = aws_lb.this.arn_suffix
}

output "alb_dns_name" {
  description = "Name of the load balancer in DNS, for records outside this module."
  value       = aws_lb.this.dns_name
}

output "alb_security_group_id" {
  description = "Security group of the load balancer; services add their own egress rule to it."
  value       = aws_security_group.load_balancer.id
}

output "alb_zone_id" {
  description = "Hosted zone of the load balancer's name, for alias records outside this module."
  value       = aws_lb.this.zone_id
}

output "certificate_arn" {
  description = "Certificate of the HTTPS listener, validated."
  value       = local.certificate_arn
}

output "cluster_arn" {
  description = "ARN of the ECS cluster."
  value       = aws_ecs_cluster.this.arn

  # A service with a capacity provider needs the cluster to have it.
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

output "exec_log_group_arn" {
  description = "Log group of execute-command sessions."
  value       = aws_cloudwatch_log_group.exec.arn
}

output "https_listener_arn" {
  description = "Listener that services add their rules to."
  value       = aws_lb_listener.https.arn
}

output "kms_key_arn" {
  description = "Key of the log groups and of execute-command sessions."
  value       = local.kms_key_arn
}

output "web_acl_arn" {
  description = "Web ACL of the load balancer."
  value       = aws_wafv2_web_acl.this.arn
}
