# Every input that must be refused.

mock_provider "aws" {}

variables {
  name       = "acme-staging"
  region     = "eu-west-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  image      = "registry.example.com:5000/acme/api@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  cluster    = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/acme", name = "acme" }
  services = {
    worker = {
      command = ["worker"]
      secrets = {
        WHOLE = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:whole-AbCdEf" }
        PART  = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:part-AbCdEf", json_key = "url" }
      }
      environment = { APP_LOG_LEVEL = "INFO" }
    }
  }
}

run "refuses_a_name_with_capitals" {
  command = plan

  variables {
    name = "Acme"
  }

  expect_failures = [var.name]
}

run "refuses_an_image_without_a_tag" {
  command = plan

  variables {
    image = "registry.example.com:5000/acme/api"
  }

  expect_failures = [var.image]
}

run "refuses_an_image_that_moves" {
  command = plan

  variables {
    image = "registry.example.com/acme/api:latest"
  }

  expect_failures = [var.image]
}

run "refuses_a_digest_cut_short" {
  command = plan

  variables {
    image = "acme/api@sha256:abc"
  }

  expect_failures = [var.image]
}

run "refuses_one_subnet" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_an_unknown_architecture" {
  command = plan

  variables {
    architecture = "arm"
  }

  expect_failures = [var.architecture]
}

run "refuses_logs_kept_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "refuses_a_task_named_as_a_service" {
  command = plan

  variables {
    tasks = { worker = { command = ["x"] } }
  }

  expect_failures = [var.tasks]
}

run "refuses_a_listener_without_a_load_balancer" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], port = 8000, listener = { priority = 1, path_patterns = ["/*"] } } }
  }

  expect_failures = [var.load_balancer]
}

run "refuses_a_port_only_root_may_use" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], port = 80 } }
  }

  expect_failures = [var.services]
}

run "refuses_a_listener_without_a_port" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/0/1", security_group_id = "sg-alb" }
    services      = { worker = { command = ["worker"], listener = { priority = 1, path_patterns = ["/*"] } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_listener_without_a_condition" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/0/1", security_group_id = "sg-alb" }
    services      = { worker = { command = ["worker"], port = 8000, listener = { priority = 1 } } }
  }

  expect_failures = [var.services]
}

run "refuses_two_listeners_of_one_priority" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/0/1", security_group_id = "sg-alb" }
    services = {
      a1 = { command = ["a"], port = 8000, listener = { priority = 1, path_patterns = ["/a"] } }
      b1 = { command = ["b"], port = 8000, listener = { priority = 1, path_patterns = ["/b"] } }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_priority_out_of_range" {
  command = plan

  variables {
    load_balancer = { arn_suffix = "app/a/0", listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/0/1", security_group_id = "sg-alb" }
    services      = { worker = { command = ["worker"], port = 8000, listener = { priority = 0, path_patterns = ["/*"] } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_unknown_capacity_provider" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], capacity_provider_strategy = { EC2 = { weight = 1 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_strategy_without_weight" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], capacity_provider_strategy = { FARGATE = { weight = 0 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_two_bases" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], capacity_provider_strategy = { FARGATE = { weight = 1, base = 1 }, FARGATE_SPOT = { weight = 1, base = 1 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_deployment_with_no_room" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], deployment = { maximum_percent = 100 } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_healthy_share_above_all" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], deployment = { minimum_healthy_percent = 110 } } }
  }

  expect_failures = [var.services]
}

run "refuses_half_a_task" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], desired_count = 1.5 } }
  }

  expect_failures = [var.services]
}

run "refuses_exec_on_a_read_only_root" {
  command = plan

  variables {
    cluster  = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/acme", name = "acme", exec_kms_key_arn = "k", exec_log_group_arn = "l" }
    services = { worker = { command = ["worker"], execute_command_enabled = true } }
  }

  expect_failures = [var.services]
}

run "refuses_exec_that_is_not_recorded" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], execute_command_enabled = true, readonly_root_filesystem = false } }
  }

  expect_failures = [var.services]
}

run "refuses_more_tasks_at_least_than_at_most" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 3, max = 2, cpu = 50 } } }
  }

  expect_failures = [var.services]
}

run "refuses_scaling_by_nothing" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2 } } }
  }

  expect_failures = [var.services]
}

run "refuses_more_than_all_of_a_processor" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, cpu = 150 } } }
  }

  expect_failures = [var.services]
}

run "refuses_requests_without_a_listener" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, requests_per_target = 100 } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_backlog_of_no_queue" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, backlog = { queue_names = [], messages_per_task = 10 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_backlog_of_no_messages" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, backlog = { queue_names = ["a"], messages_per_task = 0 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_steps_without_adjustments" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, adjustments = [] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_steps_by_a_sum" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 2, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, statistic = "Sum", adjustments = [{ from = 0, change = 1 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_workload_name_too_long" {
  command = plan

  variables {
    tasks = { a-name-of-more-than-20 = { command = ["x"] } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_size_fargate_has_not" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], cpu = 256, memory = 4096 } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_size_between_steps" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], cpu = 8192, memory = 17408 } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_an_unknown_cpu" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], cpu = 300, memory = 512 } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_root" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], user = "0" } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_group_of_root" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], user = "10001:0" } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_user_by_name" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], user = "app" } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_stop_longer_than_fargate_waits" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], stop_timeout = 300 } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_storage_below_the_least" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], ephemeral_storage_gib = 10 } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_secret_that_is_no_arn" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], secrets = { A = { arn = "hunter2" } } } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_every_secret_at_once" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], secrets = { A = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:*" } } } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_name_given_twice" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], environment = { A = "1" }, secrets = { A = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf" } } } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_an_egress_to_nowhere" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], egress = { a = { port = 443 } } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_egress_of_a_task_to_nowhere" {
  command = plan

  variables {
    tasks = { migrate = { command = ["migrate"], egress = { a = { port = 443 } } } }
  }

  expect_failures = [var.tasks]
}

run "refuses_an_egress_to_two_peers" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], egress = { a = { port = 443, cidr_ipv4 = "10.0.0.0/8", security_group_id = "sg-1" } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_peer_that_is_no_security_group" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], egress = { a = { port = 443, cidr_ipv4 = "10.0.0.0/8", open_peer = true } } } }
  }

  expect_failures = [var.services]
}

run "refuses_a_peer_of_a_task_that_is_no_security_group" {
  command = plan

  variables {
    tasks = { migrate = { command = ["migrate"], egress = { a = { port = 443, cidr_ipv4 = "10.0.0.0/8", open_peer = true } } } }
  }

  expect_failures = [var.tasks]
}

run "refuses_a_wildcard_on_everything" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], policy_statements = [{ sid = "A", actions = ["s3:Get*"], resources = ["*"] }] } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_every_action_of_a_service" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], policy_statements = [{ sid = "A", actions = ["s3:*"], resources = ["arn:aws:s3:::a"] }] } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_every_action_there_is" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], policy_statements = [{ sid = "A", actions = ["*"], resources = ["arn:aws:s3:::a"] }] } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_steps_with_a_gap" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 4, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, adjustments = [{ from = 0, to = 10, change = 1 }, { from = 20, change = 2 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_steps_that_overlap" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 4, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, adjustments = [{ from = 0, to = 20, change = 1 }, { from = 10, change = 2 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_open_step_before_another" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 4, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, adjustments = [{ from = 0, change = 1 }, { from = 10, change = 2 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_half_a_task_more" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 4, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, adjustments = [{ from = 0, change = 0.5 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_an_unknown_comparison" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 1, max = 4, steps = { age = { namespace = "AWS/SQS", metric_name = "m", dimensions = {}, threshold = 1, comparison_operator = "Above", adjustments = [{ from = 0, change = 1 }] } } } } }
  }

  expect_failures = [var.services]
}

run "refuses_to_scale_to_half_a_task" {
  command = plan

  variables {
    services = { worker = { command = ["worker"], autoscaling = { min = 0.5, max = 2, cpu = 50 } } }
  }

  expect_failures = [var.services]
}
