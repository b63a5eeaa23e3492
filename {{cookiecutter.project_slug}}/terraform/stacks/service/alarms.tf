# What only this stack can watch, since the platform is there before its services. A service without a task that
# answers sends no measurements, which is the same alarm.

resource "aws_cloudwatch_metric_alarm" "healthy" {
  for_each = module.services.target_group_arn_suffixes

  alarm_name          = "${local.name}-${each.key}-healthy"
  alarm_description   = "Tasks of ${each.key} that pass the load balancer's health check: none is left"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = local.platform.load_balancer.arn_suffix, TargetGroup = each.value }
  statistic           = "Maximum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [local.platform.alarms_topic_arn]
  ok_actions          = [local.platform.alarms_topic_arn]
}
