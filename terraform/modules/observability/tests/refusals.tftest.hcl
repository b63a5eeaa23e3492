# Every input that must be refused.

mock_provider "aws" {}

variables {
  name   = "acme-staging"
  region = "eu-west-1"
}

run "refuses_a_name_with_capitals" {
  command = plan

  variables {
    name = "Acme"
  }

  expect_failures = [var.name]
}

run "refuses_a_cache_beyond_full" {
  command = plan

  variables {
    caches = { a = { cluster_id = "a", memory = 100 } }
  }

  expect_failures = [var.caches]
}

run "refuses_a_cache_that_may_not_evict_at_all" {
  command = plan

  variables {
    caches = { a = { cluster_id = "a", evictions = 0 } }
  }

  expect_failures = [var.caches]
}

run "refuses_a_database_beyond_busy" {
  command = plan

  variables {
    databases = { a = { instance_id = "a", connections = 10, cpu = 101 } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_database_of_no_connection" {
  command = plan

  variables {
    databases = { a = { instance_id = "a", connections = 0 } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_database_without_any_room" {
  command = plan

  variables {
    databases = { a = { instance_id = "a", connections = 10, free_storage_gib = 0 } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_replica_of_no_lag" {
  command = plan

  variables {
    databases = { a = { instance_id = "a", connections = 10, replica_lag_seconds = 0 } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_latency_of_nothing" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", latency_p99_seconds = 0 }
  }

  expect_failures = [var.load_balancer]
}

run "refuses_every_request_failing" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", max_5xx_percent = 100 }
  }

  expect_failures = [var.load_balancer]
}

run "refuses_a_queue_that_may_not_wait" {
  command = plan

  variables {
    queues = { a = { queue_name = "a", max_age_seconds = 0 } }
  }

  expect_failures = [var.queues]
}

run "refuses_a_service_beyond_busy" {
  command = plan

  variables {
    services = { a = { cluster_name = "a", service_name = "a", cpu = 100 } }
  }

  expect_failures = [var.services]
}

run "refuses_plain_http" {
  command = plan

  variables {
    subscriptions = { a = { protocol = "http", endpoint = "http://example.com" } }
  }

  expect_failures = [var.subscriptions]
}

run "refuses_plain_http_called_https" {
  command = plan

  variables {
    subscriptions = { a = { protocol = "https", endpoint = "http://example.com" } }
  }

  expect_failures = [var.subscriptions]
}

run "refuses_more_critical_alarms_than_one_composite_alarm_can_watch" {
  command = plan

  variables {
    queues = { for number in range(101) : "q${number}" => { queue_name = "q${number}" } }
  }

  expect_failures = [aws_cloudwatch_composite_alarm.critical]
}

run "refuses_half_a_task" {
  command = plan

  variables {
    services = { a = { cluster_name = "a", service_name = "a", min_tasks = 0.5 } }
  }

  expect_failures = [var.services]
}
