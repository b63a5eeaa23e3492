# Whether services run and how busy they are, and what waits in their queues.

locals {
  service_alarms = merge(flatten([
    for name, service in var.services : [
      for metric, limit in { cpu = service.cpu, memory = service.memory } : {
        "service-${name}-${metric}" = merge(local.alarm_defaults, {
          description = "Per cent of ${metric} that ${name} uses of what its tasks have"
          namespace   = "AWS/ECS"
          metric      = metric == "cpu" ? "CPUUtilization" : "MemoryUtilization"
          statistic   = "Average"
          dimensions  = { ClusterName = service.cluster_name, ServiceName = service.service_name }
          threshold   = limit
        })
      }
    ]
  ])...)

  # Container Insights counts them. A service that is not there is not counted.
  task_alarms = {
    for name, service in var.services : "service-${name}-tasks" => merge(local.alarm_defaults, {
      description = "Tasks of ${name} that run"
      namespace   = "ECS/ContainerInsights"
      metric      = "RunningTaskCount"
      statistic   = "Maximum"
      dimensions  = { ClusterName = service.cluster_name, ServiceName = service.service_name }
      comparison  = "LessThanThreshold"
      threshold   = service.min_tasks
      missing     = "breaching"
      critical    = true
    }) if service.min_tasks > 0
  }

  queue_alarms = merge(flatten([
    for name, queue in var.queues : [
      {
        "queue-${name}-age" = merge(local.alarm_defaults, {
          description = "Seconds that the oldest message of ${name} has waited"
          namespace   = "AWS/SQS"
          metric      = "ApproximateAgeOfOldestMessage"
          statistic   = "Maximum"
          dimensions  = { QueueName = queue.queue_name }
          threshold   = queue.max_age_seconds
          critical    = true
        })
      },
      {
        for dead in queue.dead_letter_queue_name == null ? [] : [queue.dead_letter_queue_name] : "queue-${name}-dead-letters" => merge(local.alarm_defaults, {
          description = "Messages of ${name} that failed for good; replay or delete them"
          namespace   = "AWS/SQS"
          metric      = "ApproximateNumberOfMessagesVisible"
          statistic   = "Maximum"
          dimensions  = { QueueName = dead }
          threshold   = 0
          periods     = 1
          datapoints  = 1
        })
      },
    ]
  ])...)
}
