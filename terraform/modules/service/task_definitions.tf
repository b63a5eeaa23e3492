# One task definition a workload: one container, not root, on a root file system it cannot write.

resource "aws_ecs_task_definition" "this" {
  for_each = local.workloads

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  task_role_arn            = aws_iam_role.task[each.key].arn
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  container_definitions    = jsonencode([local.containers[each.key]])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  # The one place a task may write to; it lives as long as the task.
  volume {
    name = "tmp"
  }

  dynamic "ephemeral_storage" {
    for_each = each.value.ephemeral_storage_gib == null ? [] : [each.value.ephemeral_storage_gib]

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  lifecycle {
    # The old one goes when the service runs the new one.
    create_before_destroy = true

    precondition {
      condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", each.key))
      error_message = "${each.key}: the name of a service or task must be 2 to 20 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
    }

    precondition {
      condition     = contains(lookup(local.memory_choices, tostring(each.value.cpu), []), each.value.memory)
      error_message = "${each.key}: Fargate has no size of ${each.value.cpu} CPU units with ${each.value.memory} MiB. CPU is 256, 512, 1024, 2048, 4096, 8192 or 16384; 256 goes with 512, 1024 or 2048, others with two to eight times the CPU units in steps of 1024 (8192: 4096, 16384: 8192)."
    }

    precondition {
      condition     = can(regex("^[1-9][0-9]*(:[1-9][0-9]*)?$", each.value.user))
      error_message = "${each.key}: user must be a number other than 0, such as 10001:10001; root and names are refused."
    }

    precondition {
      condition     = each.value.stop_timeout >= 2 && each.value.stop_timeout <= 120
      error_message = "${each.key}: stop_timeout must be 2 to 120 seconds; Fargate waits no longer."
    }

    precondition {
      condition     = each.value.ephemeral_storage_gib == null ? true : each.value.ephemeral_storage_gib >= 21 && each.value.ephemeral_storage_gib <= 200
      error_message = "${each.key}: ephemeral_storage_gib must be 21 to 200, or null for the 20 GiB every task has."
    }

    precondition {
      condition     = alltrue([for secret in values(each.value.secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*?:]+$", secret.arn))])
      error_message = "${each.key}: every secret must be the whole ARN of one secret in Secrets Manager (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX); a key inside it goes into json_key."
    }

    precondition {
      condition     = length(setintersection(keys(each.value.environment), keys(each.value.secrets))) == 0
      error_message = "${each.key}: ${join(", ", setintersection(keys(each.value.environment), keys(each.value.secrets)))} cannot be in environment and secrets; ECS takes a name once."
    }

    precondition {
      condition     = alltrue([for statement in each.value.policy_statements : !anytrue([for action in statement.actions : strcontains(action, "*")]) || !contains(statement.resources, "*")])
      error_message = "${each.key}: a policy statement with a `*` in an action must name its resources; name the actions, or the ARNs."
    }

    precondition {
      condition     = alltrue([for statement in each.value.policy_statements : alltrue([for action in statement.actions : can(regex("^[a-z0-9-]+:[A-Za-z*]+$", action)) && !endswith(action, ":*")])])
      error_message = "${each.key}: every action of a policy statement must be SERVICE:ACTION; all actions of a service are refused."
    }
  }
}

locals {
  containers = {
    for name, workload in local.workloads : name => {
      # What is null is left out.
      for key, value in {
        name                   = name
        image                  = var.image
        command                = workload.command
        essential              = true
        user                   = workload.user
        readonlyRootFilesystem = workload.readonly_root_filesystem
        privileged             = false
        stopTimeout            = workload.stop_timeout
        environment            = [for variable, text in workload.environment : { name = variable, value = text }]
        secrets = [
          for variable, secret in workload.secrets : {
            name      = variable
            valueFrom = secret.json_key == null ? secret.arn : "${secret.arn}:${secret.json_key}::"
          }
        ]
        mountPoints  = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
        portMappings = [for port in workload.port == null ? [] : [workload.port] : { containerPort = port, hostPort = port, protocol = "tcp" }]
        healthCheck = workload.health_check == null ? null : {
          command     = concat(["CMD"], workload.health_check.command)
          interval    = workload.health_check.interval
          retries     = workload.health_check.retries
          startPeriod = workload.health_check.start_period
          timeout     = workload.health_check.timeout
        }
        # An init as PID 1 reaps the children that sub-processes and exec sessions leave.
        linuxParameters = {
          capabilities       = { drop = ["ALL"] }
          initProcessEnabled = true
        }
        # A log service that stalls must not stall the process; what overflows the buffer is lost.
        logConfiguration = {
          logDriver = "awslogs"
          options = {
            "awslogs-group"         = aws_cloudwatch_log_group.this[name].name
            "awslogs-region"        = var.region
            "awslogs-stream-prefix" = name
            "mode"                  = "non-blocking"
            "max-buffer-size"       = "10m"
          }
        }
      } : key => value if value != null
    }
  }
}
