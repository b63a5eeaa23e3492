# The services. Two resources with one body, since ignore_changes cannot depend on a value: `fixed` keeps the count
# it is given, `scaled` leaves it to its autoscaling policies. Deployments roll; native blue/green needs provider 6.4.

locals {
  fixed_services  = { for name, service in var.services : name => service if service.autoscaling == null }
  scaled_services = { for name, service in var.services : name => service if service.autoscaling != null }

  deployment_alarms = {
    for name, service in var.services : name => concat(
      [for alarm in service.listener == null ? [] : [aws_cloudwatch_metric_alarm.deployment[name]] : alarm.alarm_name],
      service.deployment.alarm_names,
    )
  }
}

resource "aws_ecs_service" "fixed" {
  for_each = local.fixed_services

  name            = each.key
  cluster         = var.cluster.arn
  task_definition = aws_ecs_task_definition.this[each.key].arn
  desired_count   = each.value.desired_count
  tags            = var.tags

  availability_zone_rebalancing      = "ENABLED"
  deployment_maximum_percent         = each.value.deployment.maximum_percent
  deployment_minimum_healthy_percent = each.value.deployment.minimum_healthy_percent
  enable_ecs_managed_tags            = true
  enable_execute_command             = each.value.execute_command_enabled
  health_check_grace_period_seconds  = each.value.listener == null ? null : each.value.grace_period_seconds
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = var.wait_for_steady_state

  # A change of strategy rolls the tasks instead of replacing the service.
  force_new_deployment = true

  dynamic "capacity_provider_strategy" {
    for_each = each.value.capacity_provider_strategy

    content {
      capacity_provider = capacity_provider_strategy.key
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = length(local.deployment_alarms[each.key]) == 0 ? [] : [local.deployment_alarms[each.key]]

    content {
      enable      = true
      rollback    = true
      alarm_names = alarms.value
    }
  }

  network_configuration {
    assign_public_ip = false
    security_groups  = [aws_security_group.this[each.key].id]
    subnets          = var.subnet_ids
  }

  dynamic "load_balancer" {
    for_each = each.value.listener == null ? [] : [each.key]

    content {
      container_name   = each.key
      container_port   = each.value.port
      target_group_arn = aws_lb_target_group.this[each.key].arn
    }
  }


  lifecycle {
    # A deployment that ECS has rolled back is steady too, on the task definition from before.
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.this[each.key].arn
      error_message = "The deployment of ${each.key} was rolled back: ECS runs the task definition from before. Its events and logs say why."
    }
  }

  depends_on = [
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    # ECS refuses a target group that no listener has yet.
    aws_lb_listener_rule.this,
  ]
}

resource "aws_ecs_service" "scaled" {
  for_each = local.scaled_services

  name            = each.key
  cluster         = var.cluster.arn
  task_definition = aws_ecs_task_definition.this[each.key].arn
  desired_count   = each.value.autoscaling.min
  tags            = var.tags

  availability_zone_rebalancing      = "ENABLED"
  deployment_maximum_percent         = each.value.deployment.maximum_percent
  deployment_minimum_healthy_percent = each.value.deployment.minimum_healthy_percent
  enable_ecs_managed_tags            = true
  enable_execute_command             = each.value.execute_command_enabled
  health_check_grace_period_seconds  = each.value.listener == null ? null : each.value.grace_period_seconds
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = var.wait_for_steady_state

  # A change of strategy rolls the tasks instead of replacing the service.
  force_new_deployment = true

  dynamic "capacity_provider_strategy" {
    for_each = each.value.capacity_provider_strategy

    content {
      capacity_provider = capacity_provider_strategy.key
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = length(local.deployment_alarms[each.key]) == 0 ? [] : [local.deployment_alarms[each.key]]

    content {
      enable      = true
      rollback    = true
      alarm_names = alarms.value
    }
  }

  network_configuration {
    assign_public_ip = false
    security_groups  = [aws_security_group.this[each.key].id]
    subnets          = var.subnet_ids
  }

  dynamic "load_balancer" {
    for_each = each.value.listener == null ? [] : [each.key]

    content {
      container_name   = each.key
      container_port   = each.value.port
      target_group_arn = aws_lb_target_group.this[each.key].arn
    }
  }

  lifecycle {
    ignore_changes = [desired_count]

    # A deployment that ECS has rolled back is steady too, on the task definition from before.
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.this[each.key].arn
      error_message = "The deployment of ${each.key} was rolled back: ECS runs the task definition from before. Its events and logs say why."
    }
  }

  depends_on = [
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    # ECS refuses a target group that no listener has yet.
    aws_lb_listener_rule.this,
  ]
}
