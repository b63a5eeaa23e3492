# One dashboard: the state of every alarm, traffic, and each metric that an alarm watches with all things it is watched of.

locals {
  alarm_arns = concat(
    [for alarm in aws_cloudwatch_metric_alarm.errors : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn],
  )

  traffic_widgets = [
    for balancer in values(local.load_balancers) : {
      title = "Requests and errors"
      metrics = [
        for metric in ["RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] :
        ["AWS/ApplicationELB", metric, "LoadBalancer", balancer.arn_suffix, { stat = "Sum" }]
      ]
    }
  ]

  alarm_widgets = [
    for metric in distinct([for alarm in values(local.alarms) : "${alarm.namespace} ${alarm.metric}"]) : {
      title = metric
      metrics = [
        for key, alarm in local.alarms : concat(
          [alarm.namespace, alarm.metric],
          flatten([for dimension, value in alarm.dimensions : [dimension, value]]),
          [{ label = key, stat = alarm.statistic }],
        ) if "${alarm.namespace} ${alarm.metric}" == metric
      ]
    }
  ]

  widgets    = concat(local.traffic_widgets, local.alarm_widgets)
  has_alarms = length(local.load_balancers) + length(local.alarms) > 0
}

resource "aws_cloudwatch_dashboard" "this" {
  count = local.has_alarms ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = slice(local.alarm_arns, 0, min(length(local.alarm_arns), 100)) }
      }],
      [
        for index, widget in local.widgets : {
          type   = "metric"
          x      = index % 2 * 12
          y      = 3 + floor(index / 2) * 6
          width  = 12
          height = 6
          properties = {
            title   = widget.title
            metrics = widget.metrics
            period  = 60
            region  = var.region
            view    = "timeSeries"
          }
        }
      ],
    )
  })
}
