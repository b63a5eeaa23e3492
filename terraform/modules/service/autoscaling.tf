# How many tasks a service runs: what it tracks, the steps it takes, and the backlog of its queues.

resource "aws_appautoscaling_target" "this" {
  for_each = local.scaled_services

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.scaled[each.key].name}"
  min_capacity       = each.value.autoscaling.min
  max_capacity       = each.value.autoscaling.max
  tags               = var.tags
}

locals {
  tracked_metrics = {
    cpu                 = "ECSServiceAverageCPUUtilization"
    memory              = "ECSServiceAverageMemoryUtilization"
    requests_per_target = "ALBRequestCountPerTarget"
  }
  tracked = merge([
    for name, service in local.scaled_services : {
      for metric, type in local.tracked_metrics : "${name} ${metric}" => {
        metric  = metric
        service = name
        target  = service.autoscaling[metric]
        type    = type
      } if service.autoscaling[metric] != null
    }
  ]...)
  steps = merge([
    for name, service in local.scaled_services : {
      for step, settings in service.autoscaling.steps : "${name} ${step}" => merge(settings, { name = step, service = name })
    }
  ]...)
}

resource "aws_appautoscaling_policy" "tracking" {
  for_each = local.tracked

  name               = "${var.name}-${each.value.service}-${replace(each.value.metric, "_", "-")}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this[each.value.service].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_in_cooldown  = var.services[each.value.service].autoscaling.scale_in_cooldown
    scale_out_cooldown = var.services[each.value.service].autoscaling.scale_out_cooldown

    predefined_metric_specification {
      predefined_metric_type = each.value.type
      resource_label = each.value.metric != "requests_per_target" ? null : join("/", [
        try(var.load_balancer.arn_suffix, null),
        try(aws_lb_target_group.this[each.value.service].arn_suffix, null),
      ])
    }
  }
}

resource "aws_appautoscaling_policy" "backlog" {
  for_each = { for name, service in local.scaled_services : name => service.autoscaling if service.autoscaling.backlog != null }

  name               = "${var.name}-${each.key}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.backlog.messages_per_task
    scale_in_cooldown  = each.value.scale_in_cooldown
    scale_out_cooldown = each.value.scale_out_cooldown

    customized_metric_specification {
      dynamic "metrics" {
        for_each = each.value.backlog.queue_names

        content {
          id          = "queue${metrics.key}"
          label       = "Messages waiting in ${metrics.value}"
          return_data = false

          metric_stat {
            stat = "Average"

            metric {
              namespace   = "AWS/SQS"
              metric_name = "ApproximateNumberOfMessagesVisible"

              dimensions {
                name  = "QueueName"
                value = metrics.value
              }
            }
          }
        }
      }

      metrics {
        id          = "tasks"
        label       = "Running tasks"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            # Container Insights has it; ECS itself does not.
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = var.cluster.name
            }

            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.scaled[each.key].name
            }
          }
        }
      }

      metrics {
        id    = "backlog"
        label = "Messages waiting for each running task"
        # A queue that is not used reports nothing. With no task running the whole backlog waits for one.
        expression  = "(${join(" + ", [for index, _ in each.value.backlog.queue_names : "FILL(queue${index}, 0)"])}) / IF(FILL(tasks, 0) > 0, tasks, 1)"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "step" {
  for_each = local.steps

  name               = "${var.name}-${each.value.service}-${each.value.name}"
  policy_type        = "StepScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this[each.value.service].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    cooldown                = each.value.cooldown
    metric_aggregation_type = each.value.statistic

    dynamic "step_adjustment" {
      for_each = each.value.adjustments

      content {
        scaling_adjustment          = step_adjustment.value.change
        metric_interval_lower_bound = step_adjustment.value.from
        metric_interval_upper_bound = step_adjustment.value.to
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "step" {
  for_each = local.steps

  alarm_name          = "${var.name}-${each.value.service}-${each.value.name}"
  alarm_description   = "Scales ${each.value.service} in steps"
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.evaluation_periods
  comparison_operator = each.value.comparison_operator
  threshold           = each.value.threshold
  alarm_actions       = [aws_appautoscaling_policy.step[each.key].arn]
  tags                = var.tags
}
