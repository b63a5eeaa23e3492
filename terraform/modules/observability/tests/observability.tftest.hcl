# Plans on a mocked provider: what is watched gets its alarms, what is not gets none.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:acme-staging-alarms" }
  }

  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:mock" }
  }

  mock_resource "aws_cloudwatch_composite_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:acme-staging-critical" }
  }
}

variables {
  name   = "acme-staging"
  region = "eu-west-1"
}

run "nothing_passed_makes_the_topic_alone" {
  command = apply

  assert {
    condition = alltrue([
      length(aws_cloudwatch_metric_alarm.this) == 0,
      length(aws_cloudwatch_metric_alarm.errors) == 0,
      length(aws_cloudwatch_composite_alarm.critical) == 0,
      length(aws_cloudwatch_dashboard.this) == 0,
      length(aws_sns_topic_subscription.this) == 0,
      length(output.alarm_names) == 0,
      output.critical_alarm_arn == null,
      output.dashboard_name == null,
    ])
    error_message = "what is not passed gets no alarm"
  }

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == aws_kms_key.this[0].arn && aws_kms_key.this[0].enable_key_rotation
    error_message = "the topic must be encrypted with a key that rotates"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_sns_topic_policy.this.policy).Statement : statement.Sid => "${statement.Effect} ${statement.Action}"
    } == { Alarms = "Allow sns:Publish", OnlyTls = "Deny sns:Publish" }
    error_message = "only CloudWatch may publish, and only over TLS"
  }

  assert {
    condition = [
      for statement in jsondecode(aws_kms_key.this[0].policy).Statement : statement.Principal.Service if statement.Sid == "Alarms"
    ] == ["cloudwatch.amazonaws.com"]
    error_message = "CloudWatch must be able to use the key, or no alarm is sent"
  }
}

run "every_golden_signal_of_what_is_passed_is_watched" {
  command = apply

  variables {
    load_balancer = { arn_suffix = "app/acme/0", target_group_arn_suffix = { api = "targetgroup/api/1" }, latency_p99_seconds = 0.5, max_5xx_percent = 2 }
    services      = { api = { cluster_name = "acme", service_name = "api", cpu = 70 } }
    databases = {
      primary = { instance_id = "acme", connections = 80, free_storage_gib = 20 }
      replica = { instance_id = "acme-replica", connections = 80, replica_lag_seconds = 30 }
    }
    caches = { main = { cluster_id = "acme-001" } }
    queues = {
      jobs  = { queue_name = "acme-jobs", dead_letter_queue_name = "acme-jobs-dead", max_age_seconds = 60 }
      plain = { queue_name = "acme-plain" }
    }
  }

  assert {
    condition = toset(output.alarm_names) == toset([
      "acme-staging-load-balancer-5xx",
      "acme-staging-load-balancer-latency-p99",
      "acme-staging-api-unhealthy",
      "acme-staging-api-none-healthy",
      "acme-staging-service-api-cpu",
      "acme-staging-service-api-memory",
      "acme-staging-service-api-tasks",
      "acme-staging-database-primary-cpu",
      "acme-staging-database-primary-connections",
      "acme-staging-database-primary-storage",
      "acme-staging-database-replica-cpu",
      "acme-staging-database-replica-connections",
      "acme-staging-database-replica-storage",
      "acme-staging-database-replica-replica-lag",
      "acme-staging-cache-main-cpu",
      "acme-staging-cache-main-memory",
      "acme-staging-cache-main-evictions",
      "acme-staging-queue-jobs-age",
      "acme-staging-queue-jobs-dead-letters",
      "acme-staging-queue-plain-age",
    ])
    error_message = "each thing must have its alarms, and no other"
  }

  assert {
    condition = alltrue([
      aws_cloudwatch_metric_alarm.this["load-balancer-latency-p99"].extended_statistic == "p99",
      aws_cloudwatch_metric_alarm.this["load-balancer-latency-p99"].threshold == 0.5,
      aws_cloudwatch_metric_alarm.errors["load-balancer"].threshold == 2,
      aws_cloudwatch_metric_alarm.this["service-api-cpu"].threshold == 70,
      aws_cloudwatch_metric_alarm.this["service-api-memory"].threshold == 85,
      aws_cloudwatch_metric_alarm.this["database-primary-storage"].threshold == 21474836480,
      aws_cloudwatch_metric_alarm.this["database-primary-storage"].comparison_operator == "LessThanThreshold",
      aws_cloudwatch_metric_alarm.this["database-replica-replica-lag"].treat_missing_data == "breaching",
      aws_cloudwatch_metric_alarm.this["queue-jobs-age"].threshold == 60,
      aws_cloudwatch_metric_alarm.this["queue-jobs-dead-letters"].dimensions == tomap({ QueueName = "acme-jobs-dead" }),
    ])
    error_message = "thresholds must be where they were put"
  }

  assert {
    condition = { for name in ["api-none-healthy", "service-api-tasks"] : name => [
      aws_cloudwatch_metric_alarm.this[name].metric_name, aws_cloudwatch_metric_alarm.this[name].comparison_operator,
      aws_cloudwatch_metric_alarm.this[name].threshold, aws_cloudwatch_metric_alarm.this[name].treat_missing_data,
      ] } == {
      api-none-healthy  = ["HealthyHostCount", "LessThanThreshold", 1, "breaching"]
      service-api-tasks = ["RunningTaskCount", "LessThanThreshold", 1, "breaching"]
    }
    error_message = "no task at all must be an alarm, and no word of any is none"
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.errors)) :
      alltrue([
        for actions in [alarm.alarm_actions, alarm.ok_actions] : try(join(" ", actions), "") == (
          strcontains(aws_cloudwatch_composite_alarm.critical[0].alarm_rule, "\"${alarm.alarm_name}\"") ? "" : aws_sns_topic.this.arn
        )
      ])
    ])
    error_message = "an alarm tells the topic when it begins and ends, unless the composite alarm tells of it"
  }

  assert {
    condition     = aws_cloudwatch_composite_alarm.critical[0].alarm_actions == toset([aws_sns_topic.this.arn]) && aws_cloudwatch_composite_alarm.critical[0].ok_actions == toset([aws_sns_topic.this.arn])
    error_message = "the composite alarm tells the topic"
  }

  assert {
    condition = toset(split(" OR ", aws_cloudwatch_composite_alarm.critical[0].alarm_rule)) == toset([
      "ALARM(\"acme-staging-load-balancer-5xx\")",
      "ALARM(\"acme-staging-load-balancer-latency-p99\")",
      "ALARM(\"acme-staging-api-unhealthy\")",
      "ALARM(\"acme-staging-api-none-healthy\")",
      "ALARM(\"acme-staging-service-api-tasks\")",
      "ALARM(\"acme-staging-database-primary-storage\")",
      "ALARM(\"acme-staging-database-replica-storage\")",
      "ALARM(\"acme-staging-cache-main-memory\")",
      "ALARM(\"acme-staging-queue-jobs-age\")",
      "ALARM(\"acme-staging-queue-plain-age\")",
    ])
    error_message = "the composite alarm must be what users feel"
  }

  assert {
    condition = toset([
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.properties.title
      ]) == toset([
      "Alarms", "Requests and errors",
      "AWS/ApplicationELB TargetResponseTime", "AWS/ApplicationELB UnHealthyHostCount", "AWS/ApplicationELB HealthyHostCount",
      "ECS/ContainerInsights RunningTaskCount",
      "AWS/ECS CPUUtilization", "AWS/ECS MemoryUtilization",
      "AWS/RDS CPUUtilization", "AWS/RDS DatabaseConnections", "AWS/RDS FreeStorageSpace", "AWS/RDS ReplicaLag",
      "AWS/ElastiCache EngineCPUUtilization", "AWS/ElastiCache DatabaseMemoryUsagePercentage", "AWS/ElastiCache Evictions",
      "AWS/SQS ApproximateAgeOfOldestMessage", "AWS/SQS ApproximateNumberOfMessagesVisible",
    ])
    error_message = "the dashboard must show what the alarms watch"
  }

  assert {
    condition = one([
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : jsonencode(widget.properties.metrics)
      if widget.properties.title == "AWS/RDS ReplicaLag"
    ]) == jsonencode([["AWS/RDS", "ReplicaLag", "DBInstanceIdentifier", "acme-replica", { label = "database-replica-replica-lag", stat = "Maximum" }]])
    error_message = "a widget must name the thing it shows"
  }
}

run "one_kind_of_thing_makes_only_its_own_alarms" {
  command = plan

  variables {
    services = { jobs = { cluster_name = "acme", service_name = "jobs", min_tasks = 0 } }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["service-jobs-cpu", "service-jobs-memory"])
    error_message = "only the service is watched"
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.critical) == 0 && length(aws_cloudwatch_dashboard.this) == 1
    error_message = "nothing critical is watched, so nothing critical can be told"
  }
}

run "options_reach_what_they_are_for" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/given"
    tags        = { team = "platform" }
    subscriptions = {
      people = { protocol = "email", endpoint = "ops@example.com" }
      pager  = { protocol = "https", endpoint = "https://pager.example.com/hook" }
    }
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_sns_topic.this.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/given" && aws_sns_topic.this.tags["team"] == "platform"
    error_message = "a given key must be used, and none made"
  }

  assert {
    condition     = aws_sns_topic_subscription.this["pager"].endpoint == "https://pager.example.com/hook" && aws_sns_topic_subscription.this["people"].protocol == "email"
    error_message = "each subscriber must be subscribed"
  }
}
