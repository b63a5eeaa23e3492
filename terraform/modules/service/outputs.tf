output "execution_role_arns" {
  description = "Role that starts each service and task, by name; whoever runs a task must be allowed to pass it."
  value       = { for name, role in aws_iam_role.execution : name => role.arn }
}

output "kms_key_arn" {
  description = "Key of the log groups."
  value       = local.kms_key_arn
}

output "log_group_names" {
  description = "Log group of each service and task, by name."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}

output "run_task" {
  description = "What `aws ecs run-task` needs for each one-off task, by name: `--cli-input-json` takes it as it is."
  value = {
    for name in keys(var.tasks) : name => {
      cluster        = var.cluster.arn
      taskDefinition = aws_ecs_task_definition.this[name].arn
      launchType     = "FARGATE"
      networkConfiguration = {
        awsvpcConfiguration = {
          assignPublicIp = "DISABLED"
          securityGroups = [aws_security_group.this[name].id]
          subnets        = var.subnet_ids
        }
      }
    }
  }

  # A task that starts before its roles may act cannot read its secrets.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task, aws_vpc_security_group_egress_rule.this, aws_vpc_security_group_ingress_rule.peer]
}

output "security_group_ids" {
  description = "Security group of each service and task, by name."
  value       = { for name, group in aws_security_group.this : name => group.id }
}

output "service_names" {
  description = "Name in ECS of each service, by name."
  value       = { for name, service in merge(aws_ecs_service.fixed, aws_ecs_service.scaled) : name => service.name }
}

output "target_group_arn_suffixes" {
  description = "Dimension in CloudWatch of the target group of each service that listens, by name."
  value       = { for name, group in aws_lb_target_group.this : name => group.arn_suffix }
}

output "task_definition_arns" {
  description = "Task definition of each service and task, with its revision, by name."
  value       = { for name, definition in aws_ecs_task_definition.this : name => definition.arn }
}

output "task_role_arns" {
  description = "Role of each service and task while it runs, by name."
  value       = { for name, role in aws_iam_role.task : name => role.arn }
}
