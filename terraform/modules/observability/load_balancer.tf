# Errors and latency as clients see them, targets that do not answer, and no target at all.

locals {
  load_balancers = var.load_balancer == null ? {} : { load-balancer = var.load_balancer }

  load_balancer_alarms = merge(flatten([
    for name, balancer in local.load_balancers : [
      {
        "${name}-latency-p99" = merge(local.alarm_defaults, {
          description = "Seconds that 99 of 100 requests take at most"
          namespace   = "AWS/ApplicationELB"
          metric      = "TargetResponseTime"
          statistic   = "p99"
          dimensions  = { LoadBalancer = balancer.arn_suffix }
          threshold   = balancer.latency_p99_seconds
          critical    = true
        })
      },
      {
        for group, suffix in balancer.target_group_arn_suffix : "${group}-unhealthy" => merge(local.alarm_defaults, {
          description = "Tasks of ${group} that fail the load balancer's health check"
          namespace   = "AWS/ApplicationELB"
          metric      = "UnHealthyHostCount"
          statistic   = "Maximum"
          dimensions  = { LoadBalancer = balancer.arn_suffix, TargetGroup = suffix }
          threshold   = 0
          critical    = true
        })
      },
      {
        # A group without any task has none that fails, and reports nothing.
        for group, suffix in balancer.target_group_arn_suffix : "${group}-none-healthy" => merge(local.alarm_defaults, {
          description = "Tasks of ${group} that pass the load balancer's health check: none is left"
          namespace   = "AWS/ApplicationELB"
          metric      = "HealthyHostCount"
          statistic   = "Maximum"
          dimensions  = { LoadBalancer = balancer.arn_suffix, TargetGroup = suffix }
          comparison  = "LessThanThreshold"
          threshold   = 1
          missing     = "breaching"
          critical    = true
        })
      },
    ]
  ])...)
}

# A rate, so that it means the same by night and by day. It is critical: the composite alarm tells of it.
resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.load_balancers

  alarm_name          = "${var.name}-${each.key}-5xx"
  alarm_description   = "Per cent of requests answered with 5xx, by the load balancer or by a task"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.max_5xx_percent
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  tags                = var.tags

  metric_query {
    id          = "rate"
    label       = "5xx per cent"
    return_data = true
    # Below 20 requests a minute one error would decide.
    expression = "IF(total > 20, 100 * (FILL(balancer, 0) + FILL(targets, 0)) / total, 0)"
  }

  metric_query {
    id = "total"
    # What found no task to go to is not among the load balancer's requests.
    expression = "FILL(requests, 0) + FILL(balancer, 0)"
  }

  dynamic "metric_query" {
    for_each = { balancer = "HTTPCode_ELB_5XX_Count", requests = "RequestCount", targets = "HTTPCode_Target_5XX_Count" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        period      = 60
        stat        = "Sum"
        dimensions  = { LoadBalancer = each.value.arn_suffix }
      }
    }
  }
}
