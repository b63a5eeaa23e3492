# How requests come to a service that listens, and the alarm that rolls a bad deployment of it back.

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:TLS ends at the load balancer; behind it only the service's security group is reached
  for_each = local.listening

  # A prefix, so that a change that needs a new group can make it before the old one goes.
  name_prefix          = "${substr(each.key, 0, 5)}-"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = each.value.port
  deregistration_delay = each.value.listener.deregistration_delay
  tags                 = merge(var.tags, { Name = "${var.name}-${each.key}" })

  # A task that a burst has hit before is given fewer requests than an idle one.
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path    = each.value.listener.health_check_path
    matcher = "200"
    # Ready means that its stores answer. A task is let in after half a minute, and put out, which for ECS means
    # replaced, after five: a store that fails over takes no task with it.
    interval            = 30
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.listening

  listener_arn = try(var.load_balancer.listener_arn, null)
  priority     = each.value.listener.priority
  tags         = merge(var.tags, { Name = "${var.name}-${each.key}" })

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }

  dynamic "condition" {
    for_each = length(each.value.listener.host_headers) == 0 ? [] : [each.value.listener.host_headers]

    content {
      host_header {
        values = condition.value
      }
    }
  }

  dynamic "condition" {
    for_each = length(each.value.listener.path_patterns) == 0 ? [] : [each.value.listener.path_patterns]

    content {
      path_pattern {
        values = condition.value
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "deployment" {
  for_each = local.listening

  alarm_name          = "${var.name}-${each.key}-deployment-5xx"
  alarm_description   = "Per cent of requests to ${each.key} that its tasks answer with 5xx; rolls a running deployment back"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.deployment.max_5xx_percent
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  tags                = var.tags

  metric_query {
    id          = "rate"
    label       = "5xx per cent"
    return_data = true
    # Below 20 requests a minute one error would decide.
    expression = "IF(requests > 20, 100 * FILL(errors, 0) / requests, 0)"
  }

  dynamic "metric_query" {
    for_each = { errors = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        period      = 60
        stat        = "Sum"
        dimensions = {
          LoadBalancer = try(var.load_balancer.arn_suffix, null)
          TargetGroup  = aws_lb_target_group.this[each.key].arn_suffix
        }
      }
    }
  }
}
