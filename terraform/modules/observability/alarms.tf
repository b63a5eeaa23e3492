# Every alarm on one metric, and the one that says that users suffer.

locals {
  alarm_defaults = {
    comparison = "GreaterThanThreshold"
    critical   = false
    datapoints = 3
    missing    = "notBreaching"
    periods    = 5
  }

  alarms = merge(local.load_balancer_alarms, local.service_alarms, local.task_alarms, local.queue_alarms, local.database_alarms, local.cache_alarms)

  critical_alarm_names = concat(
    [for alarm in aws_cloudwatch_metric_alarm.errors : alarm.alarm_name],
    [for key, alarm in local.alarms : aws_cloudwatch_metric_alarm.this[key].alarm_name if alarm.critical],
  )
  # Known before any alarm is made, so that it can decide a count.
  has_critical_alarm = length(local.load_balancers) > 0 || anytrue([for alarm in values(local.alarms) : alarm.critical])
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  # Of what is critical the composite alarm tells, so that one outage is one message.
  alarm_actions = each.value.critical ? [] : [aws_sns_topic.this.arn]
  ok_actions    = each.value.critical ? [] : [aws_sns_topic.this.arn]
  tags          = var.tags
}

resource "aws_cloudwatch_composite_alarm" "critical" {
  count = local.has_critical_alarm ? 1 : 0

  alarm_name        = "${var.name}-critical"
  alarm_description = "Users of ${var.name} suffer, or soon will: page somebody"
  alarm_rule        = join(" OR ", [for name in local.critical_alarm_names : "ALARM(\"${name}\")"])
  alarm_actions     = [aws_sns_topic.this.arn]
  ok_actions        = [aws_sns_topic.this.arn]
  tags              = var.tags

  lifecycle {
    precondition {
      condition     = length(local.critical_alarm_names) <= 100
      error_message = "A composite alarm watches at most 100 alarms; split what is watched over two modules of different name."
    }
  }
}
