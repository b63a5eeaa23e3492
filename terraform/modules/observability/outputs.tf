output "alarm_names" {
  description = "Names of all alarms on a metric, sorted; a deployment can watch some of them."
  value       = sort(concat([for alarm in aws_cloudwatch_metric_alarm.errors : alarm.alarm_name], [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]))
}

output "critical_alarm_arn" {
  description = "The composite alarm that says that users suffer; null where nothing critical is watched."
  value       = one(aws_cloudwatch_composite_alarm.critical[*].arn)
}

output "dashboard_name" {
  description = "Name of the dashboard; null where nothing is watched."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}

output "topic_arn" {
  description = "Topic that hears of every alarm."
  value       = aws_sns_topic.this.arn
}
