# Plans on a mocked provider: what is made of services and tasks, and what each option changes.

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

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:mock" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/mock:1" }
  }

  mock_resource "aws_security_group" {
    defaults = { id = "sg-mock" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api-1/0123456789abcdef"
      arn_suffix = "targetgroup/api-1/0123456789abcdef"
    }
  }

  mock_resource "aws_lb_listener_rule" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/a/0/1/2" }
  }

  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:mock" }
  }
}

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

run "a_service_is_confined_by_default" {
  command = apply

  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this["worker"].container_definitions) : alltrue([
        container.readonlyRootFilesystem,
        !container.privileged,
        container.user == "10001:10001",
        container.linuxParameters.initProcessEnabled,
        container.linuxParameters.capabilities.drop == ["ALL"],
        [for mount in container.mountPoints : mount.containerPath] == ["/tmp"],
        container.stopTimeout == 30,
        container.portMappings == [],
        !can(container.healthCheck),
        container.command == ["worker"],
        container.image == var.image,
      ])
    ])
    error_message = "a container must be unprivileged, read-only but for /tmp, and without a port nobody asked for"
  }

  assert {
    condition = {
      for secret in jsondecode(aws_ecs_task_definition.this["worker"].container_definitions)[0].secrets : secret.name => secret.valueFrom
      } == {
      PART  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:part-AbCdEf:url::"
      WHOLE = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:whole-AbCdEf"
    }
    error_message = "secrets must be references, with the key where one is given"
  }

  assert {
    condition = {
      for option, value in jsondecode(aws_ecs_task_definition.this["worker"].container_definitions)[0].logConfiguration.options : option => value
      if contains(["awslogs-group", "mode"], option)
    } == { awslogs-group = "/ecs/acme-staging/worker", mode = "non-blocking" }
    error_message = "logs must go to the service's own group and never block it"
  }

  assert {
    condition = alltrue([
      aws_ecs_service.fixed["worker"].deployment_circuit_breaker[0].enable,
      aws_ecs_service.fixed["worker"].deployment_circuit_breaker[0].rollback,
      !aws_ecs_service.fixed["worker"].enable_execute_command,
      !aws_ecs_service.fixed["worker"].network_configuration[0].assign_public_ip,
      aws_ecs_service.fixed["worker"].desired_count == 2,
      length(aws_ecs_service.fixed["worker"].alarms) == 0,
      length(aws_ecs_service.scaled) == 0,
    ])
    error_message = "a deployment must roll back, exec and public addresses be off"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.execution["worker"].policy).Statement : statement.Sid => statement.Resource
      } == {
      WriteLogs = ["arn:aws:logs:eu-west-1:123456789012:log-group:mock:*"]
      ReadSecrets = [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:part-AbCdEf",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:whole-AbCdEf",
      ]
    }
    error_message = "the execution role must reach its log group and its own secrets, and nothing else"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role.task["worker"].assume_role_policy).Statement :
      statement.Principal.Service == "ecs-tasks.amazonaws.com" && statement.Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    ])
    error_message = "only ECS of this account may assume the role"
  }

  assert {
    condition     = length(aws_iam_role_policy.task) == 0
    error_message = "a task role without statements may do nothing"
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.this) == 0 && length(aws_vpc_security_group_ingress_rule.load_balancer) == 0
    error_message = "nothing goes out or comes in that was not stated"
  }

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_cloudwatch_log_group.this["worker"].kms_key_id == aws_kms_key.this[0].arn && aws_cloudwatch_log_group.this["worker"].retention_in_days == 90
    error_message = "logs must be encrypted and expire"
  }
}

run "a_listening_service_is_reached_only_through_the_load_balancer" {
  command = apply

  variables {
    load_balancer = {
      arn_suffix        = "app/acme/0"
      listener_arn      = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/acme/0/1"
      security_group_id = "sg-alb"
    }
    services = {
      api = {
        command              = ["serve"]
        port                 = 8000
        health_check         = { command = ["python", "-m", "app.health.probe"], timeout = 4 }
        listener             = { priority = 7, host_headers = ["api.example.com"], path_patterns = ["/v1/*"] }
        grace_period_seconds = 90
        deployment           = { alarm_names = ["errors"], max_5xx_percent = 2, maximum_percent = 150, minimum_healthy_percent = 50 }
        egress = {
          database  = { port = 5432, security_group_id = "sg-database", open_peer = true }
          endpoints = { port = 443, prefix_list_id = "pl-1" }
          six       = { port = 443, cidr_ipv6 = "::/0" }
        }
      }
    }
  }

  assert {
    condition = alltrue([
      aws_lb_target_group.this["api"].health_check[0].path == "/health/ready",
      aws_lb_target_group.this["api"].target_type == "ip",
      aws_lb_target_group.this["api"].port == 8000,
      aws_lb_listener_rule.this["api"].priority == 7,
      length(aws_lb_listener_rule.this["api"].condition) == 2,
    ])
    error_message = "the rule must send requests to the service's target group"
  }

  assert {
    condition = alltrue([
      aws_vpc_security_group_ingress_rule.load_balancer["api"].referenced_security_group_id == "sg-alb",
      aws_vpc_security_group_ingress_rule.load_balancer["api"].from_port == 8000,
      aws_vpc_security_group_egress_rule.load_balancer["api"].security_group_id == "sg-alb",
      aws_vpc_security_group_egress_rule.load_balancer["api"].to_port == 8000,
    ])
    error_message = "the load balancer and the service must be open to each other on the port alone"
  }

  assert {
    condition = toset(keys(aws_vpc_security_group_egress_rule.this)) == toset(["api database", "api endpoints", "api six"]) && alltrue([
      aws_vpc_security_group_egress_rule.this["api database"].referenced_security_group_id == "sg-database",
      aws_vpc_security_group_egress_rule.this["api endpoints"].prefix_list_id == "pl-1",
      aws_vpc_security_group_egress_rule.this["api six"].cidr_ipv6 == "::/0",
    ])
    error_message = "each egress must become the rule it states"
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.peer) == ["api database"] && aws_vpc_security_group_ingress_rule.peer["api database"].security_group_id == "sg-database"
    error_message = "open_peer, and only it, opens the other side"
  }

  assert {
    condition = alltrue([
      tolist(aws_ecs_service.fixed["api"].alarms)[0].rollback,
      toset(tolist(aws_ecs_service.fixed["api"].alarms)[0].alarm_names) == toset(["acme-staging-api-deployment-5xx", "errors"]),
      aws_ecs_service.fixed["api"].health_check_grace_period_seconds == 90,
      aws_ecs_service.fixed["api"].deployment_maximum_percent == 150,
      aws_ecs_service.fixed["api"].deployment_minimum_healthy_percent == 50,
      aws_cloudwatch_metric_alarm.deployment["api"].threshold == 2,
    ])
    error_message = "a deployment must be watched by its own alarm and the stated ones"
  }

  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.this["api"].container_definitions) :
      container.healthCheck.command == ["CMD", "python", "-m", "app.health.probe"] && container.healthCheck.timeout == 4 && container.portMappings[0].containerPort == 8000
    ])
    error_message = "the container's own health check and port must be in its definition"
  }
}

run "a_service_scales_by_what_is_stated" {
  command = apply

  variables {
    load_balancer = {
      arn_suffix        = "app/acme/0"
      listener_arn      = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/acme/0/1"
      security_group_id = "sg-alb"
    }
    services = {
      api = {
        command     = ["serve"]
        port        = 8000
        listener    = { priority = 1, path_patterns = ["/*"] }
        autoscaling = { min = 2, max = 9, cpu = 60, memory = 70, requests_per_target = 500, scale_in_cooldown = 600 }
      }
      worker = {
        command                    = ["worker"]
        capacity_provider_strategy = { FARGATE = { weight = 1, base = 1 }, FARGATE_SPOT = { weight = 4 } }
        autoscaling = {
          min     = 0
          max     = 20
          backlog = { queue_names = ["fast", "slow"], messages_per_task = 50 }
          steps = {
            age = {
              namespace   = "AWS/SQS"
              metric_name = "ApproximateAgeOfOldestMessage"
              dimensions  = { QueueName = "fast" }
              statistic   = "Maximum"
              threshold   = 60
              adjustments = [{ from = 0, to = 60, change = 1 }, { from = 60, change = 4 }]
            }
          }
        }
      }
      beat = { command = ["beat"], desired_count = 1 }
    }
  }

  assert {
    condition     = toset(keys(aws_ecs_service.scaled)) == toset(["api", "worker"]) && keys(aws_ecs_service.fixed) == ["beat"] && aws_ecs_service.fixed["beat"].desired_count == 1
    error_message = "only what scales leaves its count to the policies"
  }

  assert {
    condition     = aws_appautoscaling_target.this["api"].min_capacity == 2 && aws_appautoscaling_target.this["api"].max_capacity == 9 && aws_appautoscaling_target.this["api"].resource_id == "service/acme/api"
    error_message = "the bounds must reach the scalable target"
  }

  assert {
    condition = {
      for key, policy in aws_appautoscaling_policy.tracking : key => policy.target_tracking_scaling_policy_configuration[0].target_value
    } == { "api cpu" = 60, "api memory" = 70, "api requests_per_target" = 500 }
    error_message = "each target must be tracked"
  }

  assert {
    condition = (
      aws_appautoscaling_policy.tracking["api requests_per_target"].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].resource_label
      == "app/acme/0/targetgroup/api-1/0123456789abcdef"
      && aws_appautoscaling_policy.tracking["api cpu"].target_tracking_scaling_policy_configuration[0].scale_in_cooldown == 600
    )
    error_message = "requests must be those of the service's own target group"
  }

  assert {
    condition = [
      for metric in aws_appautoscaling_policy.backlog["worker"].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      metric.expression if metric.return_data
    ] == ["(FILL(queue0, 0) + FILL(queue1, 0)) / IF(FILL(tasks, 0) > 0, tasks, 1)"]
    error_message = "the backlog is what waits in all queues for each running task"
  }

  assert {
    condition = alltrue([
      aws_cloudwatch_metric_alarm.step["worker age"].threshold == 60,
      aws_cloudwatch_metric_alarm.step["worker age"].alarm_actions == toset(["arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:mock"]),
      length(aws_appautoscaling_policy.step["worker age"].step_scaling_policy_configuration[0].step_adjustment) == 2,
    ])
    error_message = "a step's alarm must call its policy"
  }

  assert {
    condition = {
      for strategy in aws_ecs_service.scaled["worker"].capacity_provider_strategy : strategy.capacity_provider => "${strategy.base} ${strategy.weight}"
    } == { FARGATE = "1 1", FARGATE_SPOT = "0 4" }
    error_message = "the strategy must reach the service"
  }
}

run "one_off_tasks_come_with_what_runs_them" {
  command = apply

  variables {
    tasks = {
      migrate = {
        command               = ["migrate", "apply"]
        cpu                   = 1024
        memory                = 3072
        ephemeral_storage_gib = 50
        secrets               = { OWNER = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:owner-AbCdEf" } }
        policy_statements = [{
          sid       = "Archive"
          actions   = ["s3:PutObject"]
          resources = ["arn:aws:s3:::archive/*"]
          conditions = [
            { test = "StringEquals", variable = "s3:x-amz-server-side-encryption", values = ["aws:kms"] },
            { test = "StringEquals", variable = "aws:ResourceAccount", values = ["123456789012"] },
          ]
        }]
      }
    }
    repository_arn       = "arn:aws:ecr:eu-west-1:123456789012:repository/acme"
    secrets_kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/secrets"]
  }

  assert {
    condition     = jsonencode(output.run_task["migrate"].networkConfiguration.awsvpcConfiguration) == jsonencode({ assignPublicIp = "DISABLED", securityGroups = ["sg-mock"], subnets = ["subnet-a", "subnet-b"] })
    error_message = "a task runs in the private subnets, in its own security group"
  }

  assert {
    condition     = keys(output.service_names) == ["worker"] && toset(keys(output.task_role_arns)) == toset(["migrate", "worker"])
    error_message = "a task is no service but has roles of its own"
  }

  assert {
    condition     = aws_ecs_task_definition.this["migrate"].ephemeral_storage[0].size_in_gib == 50 && aws_ecs_task_definition.this["migrate"].memory == "3072"
    error_message = "size and storage must reach the task definition"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.execution["migrate"].policy).Statement : statement.Sid => statement.Resource
      } == {
      WriteLogs      = ["arn:aws:logs:eu-west-1:123456789012:log-group:mock:*"]
      RegistryToken  = ["*"]
      PullImage      = ["arn:aws:ecr:eu-west-1:123456789012:repository/acme"]
      ReadSecrets    = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:owner-AbCdEf"]
      DecryptSecrets = ["arn:aws:kms:eu-west-1:123456789012:key/secrets"]
    }
    error_message = "the execution role of a task must reach its own secrets and the one repository"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.task["migrate"].policy).Statement == [{
      Sid      = "Archive"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = ["arn:aws:s3:::archive/*"]
      Condition = {
        StringEquals = { "s3:x-amz-server-side-encryption" = ["aws:kms"], "aws:ResourceAccount" = ["123456789012"] }
      }
    }]
    error_message = "a task may do what its statements say, under their conditions"
  }
}

run "exec_is_a_choice_with_its_permissions" {
  command = apply

  variables {
    cluster = {
      arn                = "arn:aws:ecs:eu-west-1:123456789012:cluster/acme"
      name               = "acme"
      exec_kms_key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/exec"
      exec_log_group_arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs-exec/acme"
    }
    services = {
      worker = { command = ["worker"], execute_command_enabled = true, readonly_root_filesystem = false }
    }
  }

  assert {
    condition = aws_ecs_service.fixed["worker"].enable_execute_command && {
      for statement in jsondecode(aws_iam_role_policy.task["worker"].policy).Statement : statement.Sid => statement.Resource
      } == {
      ExecChannels  = ["*"]
      ExecLogs      = ["arn:aws:logs:eu-west-1:123456789012:log-group:/ecs-exec/acme:*"]
      ExecLogGroups = ["*"]
      ExecKey       = ["arn:aws:kms:eu-west-1:123456789012:key/exec"]
    }
    error_message = "exec needs its channels, its log group and its key"
  }
}

run "options_reach_what_they_are_for" {
  command = plan

  variables {
    architecture          = "ARM64"
    kms_key_arn           = "arn:aws:kms:eu-west-1:123456789012:key/given"
    log_retention_days    = 30
    tags                  = { team = "platform" }
    wait_for_steady_state = true
    image                 = "public.example.com/acme/api:1.2.3"
    services = {
      worker = { command = ["worker"], user = "20000", stop_timeout = 120, cpu = 16384, memory = 122880 }
    }
  }

  assert {
    condition = alltrue([
      length(aws_kms_key.this) == 0,
      aws_cloudwatch_log_group.this["worker"].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/given",
      aws_cloudwatch_log_group.this["worker"].retention_in_days == 30,
      aws_ecs_service.fixed["worker"].wait_for_steady_state,
      aws_ecs_task_definition.this["worker"].runtime_platform[0].cpu_architecture == "ARM64",
      jsondecode(aws_ecs_task_definition.this["worker"].container_definitions)[0].user == "20000",
      jsondecode(aws_ecs_task_definition.this["worker"].container_definitions)[0].stopTimeout == 120,
      aws_iam_role.task["worker"].tags["team"] == "platform",
    ])
    error_message = "each option must change what it names"
  }
}
