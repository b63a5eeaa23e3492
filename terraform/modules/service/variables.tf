variable "cluster" {
  description = "The ECS cluster; the key and log group of execute-command sessions are needed only where a service turns them on."
  type = object({
    arn                = string
    exec_kms_key_arn   = optional(string)
    exec_log_group_arn = optional(string)
    name               = string
  })
  nullable = false
}

variable "image" {
  description = "The one image every service and task runs, by digest (`REPOSITORY@sha256:…`) or by a tag that does not move."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$", var.image))
    error_message = "image must end in a digest (REPOSITORY@sha256:64 hex digits) or a tag (REPOSITORY:TAG); without either it would mean `latest`."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image must not be `latest`, which is another image tomorrow; give a digest (REPOSITORY@sha256:…) or a tag that does not move."
  }
}

variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "services" {
  description = <<-EOT
    Long-running processes by name. One with a `port` can have a `listener`: the rule that sends it requests.
    A service reaches only what its `egress` names (`open_peer` also opens the other side's security group to it),
    reads only its `secrets`, and may do in AWS only what its `policy_statements` say.
  EOT
  type = map(object({
    command = list(string)

    autoscaling = optional(object({
      max                = number
      min                = number
      scale_in_cooldown  = optional(number, 300)
      scale_out_cooldown = optional(number, 60)

      # Targets to track: per cent, per cent, requests a minute for each task.
      cpu                 = optional(number)
      memory              = optional(number)
      requests_per_target = optional(number)

      # Messages waiting for each running task.
      backlog = optional(object({
        messages_per_task = number
        queue_names       = list(string)
      }))

      # Steps by how far a metric is above its threshold; bounds are relative to the threshold.
      steps = optional(map(object({
        adjustments         = list(object({ change = number, from = number, to = optional(number) }))
        comparison_operator = optional(string, "GreaterThanOrEqualToThreshold")
        cooldown            = optional(number, 60)
        dimensions          = map(string)
        evaluation_periods  = optional(number, 2)
        metric_name         = string
        namespace           = string
        period              = optional(number, 60)
        statistic           = optional(string, "Average")
        threshold           = number
      })), {})
    }))
    capacity_provider_strategy = optional(map(object({
      base   = optional(number, 0)
      weight = number
    })), { FARGATE = { weight = 1 } })
    cpu = optional(number, 256)
    deployment = optional(object({
      alarm_names             = optional(list(string), [])
      max_5xx_percent         = optional(number, 5)
      maximum_percent         = optional(number, 200)
      minimum_healthy_percent = optional(number, 100)
    }), {})
    desired_count = optional(number, 2)
    egress = optional(map(object({
      cidr_ipv4         = optional(string)
      cidr_ipv6         = optional(string)
      open_peer         = optional(bool, false)
      port              = number
      prefix_list_id    = optional(string)
      protocol          = optional(string, "tcp")
      security_group_id = optional(string)
    })), {})
    environment             = optional(map(string), {})
    ephemeral_storage_gib   = optional(number)
    execute_command_enabled = optional(bool, false)
    grace_period_seconds    = optional(number, 60)
    health_check = optional(object({
      command      = list(string)
      interval     = optional(number, 15)
      retries      = optional(number, 3)
      start_period = optional(number, 30)
      timeout      = optional(number, 5)
    }))
    listener = optional(object({
      deregistration_delay = optional(number, 30)
      health_check_path    = optional(string, "/health/ready")
      host_headers         = optional(list(string), [])
      path_patterns        = optional(list(string), [])
      priority             = number
    }))
    memory = optional(number, 512)
    policy_statements = optional(list(object({
      actions = list(string)
      conditions = optional(list(object({
        test     = string
        values   = list(string)
        variable = string
      })), [])
      resources = list(string)
      sid       = string
    })), [])
    port                     = optional(number)
    readonly_root_filesystem = optional(bool, true)
    secrets = optional(map(object({
      arn      = string
      json_key = optional(string)
    })), {})
    stop_timeout = optional(number, 30)
    user         = optional(string, "10001:10001")
  }))
  nullable = false

  validation {
    condition = alltrue(flatten([
      for workload in values(var.services) : [
        for egress in values(workload.egress) :
        length([for peer in [egress.cidr_ipv4, egress.cidr_ipv6, egress.prefix_list_id, egress.security_group_id] : peer if peer != null]) == 1
      ]
    ]))
    error_message = "services: every egress must name exactly one of cidr_ipv4, cidr_ipv6, prefix_list_id and security_group_id."
  }

  validation {
    condition     = alltrue(flatten([for workload in values(var.services) : [for egress in values(workload.egress) : egress.security_group_id != null if egress.open_peer]]))
    error_message = "services: open_peer opens the security group at the other side, so the egress must name security_group_id."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : try(service.port >= 1024 && service.port <= 65535, service.port == null)])
    error_message = "services: port must be 1024 to 65535; a process that is not root cannot listen below."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.port != null if service.listener != null])
    error_message = "services: one with a listener needs the port it listens on."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : length(concat(service.listener.host_headers, service.listener.path_patterns)) > 0 if service.listener != null])
    error_message = "services: a listener needs host_headers, path_patterns or both."
  }

  validation {
    condition = (length(distinct([for service in values(var.services) : service.listener.priority if service.listener != null])) ==
      length([for service in values(var.services) : service if service.listener != null]) &&
    alltrue([for service in values(var.services) : service.listener.priority >= 1 && service.listener.priority <= 50000 if service.listener != null]))
    error_message = "services: the priority of a listener must be 1 to 50000, and no other service's."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) :
      length(service.capacity_provider_strategy) > 0 && alltrue([for provider in keys(service.capacity_provider_strategy) : contains(["FARGATE", "FARGATE_SPOT"], provider)])
      && anytrue([for strategy in values(service.capacity_provider_strategy) : strategy.weight > 0])
      && length([for strategy in values(service.capacity_provider_strategy) : strategy if strategy.base > 0]) <= 1
    ])
    error_message = "services: capacity_provider_strategy must name FARGATE, FARGATE_SPOT or both, one at least with a weight above 0, one at most with a base."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.deployment.maximum_percent > 100 && service.deployment.minimum_healthy_percent >= 0 && service.deployment.minimum_healthy_percent <= 100])
    error_message = "services: deployment.maximum_percent must be above 100, since zones are rebalanced by starting a task before another stops; minimum_healthy_percent must be 0 to 100."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.desired_count >= 0 && floor(service.desired_count) == service.desired_count])
    error_message = "services: desired_count must be a whole number, 0 or more."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : !service.readonly_root_filesystem if service.execute_command_enabled])
    error_message = "services: execute_command_enabled needs readonly_root_filesystem = false; the agent of ECS Exec writes to the root file system."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : var.cluster.exec_kms_key_arn != null && var.cluster.exec_log_group_arn != null if service.execute_command_enabled])
    error_message = "services: execute_command_enabled needs exec_kms_key_arn and exec_log_group_arn in cluster; sessions are encrypted and recorded."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.autoscaling.min >= 0 && service.autoscaling.max >= max(service.autoscaling.min, 1) && floor(service.autoscaling.min) == service.autoscaling.min && floor(service.autoscaling.max) == service.autoscaling.max if service.autoscaling != null])
    error_message = "services: autoscaling.min and max must be whole numbers, min 0 or more, and max at least min and 1."
  }

  validation {
    condition = alltrue([
      for service in values(var.services) :
      length(service.autoscaling.steps) > 0 || length([for target in [service.autoscaling.cpu, service.autoscaling.memory, service.autoscaling.requests_per_target] : target if target != null]) > 0 || service.autoscaling.backlog != null
      if service.autoscaling != null
    ])
    error_message = "services: autoscaling needs something to scale by: cpu, memory, requests_per_target, backlog or steps."
  }

  validation {
    condition = alltrue(flatten([
      for service in values(var.services) : [for target in [service.autoscaling.cpu, service.autoscaling.memory] : target > 0 && target <= 100 if target != null]
      if service.autoscaling != null
    ]))
    error_message = "services: autoscaling.cpu and autoscaling.memory are per cent, above 0 and at most 100."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.listener != null if try(service.autoscaling.requests_per_target, null) != null])
    error_message = "services: autoscaling.requests_per_target needs a listener; only the load balancer counts requests."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : length(service.autoscaling.backlog.queue_names) > 0 && length(service.autoscaling.backlog.queue_names) <= 7 && service.autoscaling.backlog.messages_per_task > 0 if try(service.autoscaling.backlog, null) != null])
    error_message = "services: autoscaling.backlog needs one to seven queue_names and messages_per_task above 0."
  }

  validation {
    condition     = alltrue(flatten([for service in values(var.services) : [for step in values(service.autoscaling.steps) : length(step.adjustments) > 0 && contains(["Average", "Maximum", "Minimum"], step.statistic)] if service.autoscaling != null]))
    error_message = "services: each of autoscaling.steps needs adjustments, and Average, Maximum or Minimum as its statistic."
  }

  validation {
    condition = alltrue(flatten([
      for service in values(var.services) : [
        for step in values(service.autoscaling.steps) :
        contains(["GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanOrEqualToThreshold", "LessThanThreshold"], step.comparison_operator)
      ] if service.autoscaling != null
    ]))
    error_message = "services: comparison_operator of autoscaling.steps must be GreaterThanOrEqualToThreshold, GreaterThanThreshold, LessThanOrEqualToThreshold or LessThanThreshold."
  }

  validation {
    # A metric that lies in no interval, or in two, scales nothing.
    condition = alltrue(flatten([
      for service in values(var.services) : [
        for step in values(service.autoscaling.steps) : [
          for index, adjustment in step.adjustments : floor(adjustment.change) == adjustment.change && (
            index + 1 == length(step.adjustments) ? try(adjustment.to > adjustment.from, adjustment.to == null) :
            try(adjustment.to > adjustment.from && adjustment.to == step.adjustments[index + 1].from, false)
          )
        ]
      ] if service.autoscaling != null
    ]))
    error_message = "services: adjustments of autoscaling.steps must rise without gap or overlap: each begins (`from`) where the one before it ends (`to`), only the last may be open, and `change` is a whole number of tasks."
  }
}

variable "subnet_ids" {
  description = "Private subnets the tasks run in."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids must hold at least two private subnets, each in another availability zone."
  }
}

variable "vpc_id" {
  description = "VPC of the subnets."
  type        = string
  nullable    = false
}

variable "architecture" {
  description = "Processor the image is built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64, as the image was built."
  }
}

variable "kms_key_arn" {
  description = "Key of the log groups; it must allow CloudWatch Logs. Null: the module makes one."
  type        = string
  default     = null
}

variable "load_balancer" {
  description = "The load balancer of services with a `listener`: its HTTPS listener, security group and dimension in CloudWatch."
  type = object({
    arn_suffix        = string
    listener_arn      = string
    security_group_id = string
  })
  default = null

  validation {
    condition     = var.load_balancer != null || alltrue([for service in values(var.services) : service.listener == null])
    error_message = "load_balancer is needed: a service has a listener."
  }
}

variable "log_retention_days" {
  description = "Days that the logs are kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, …"
  }
}

variable "repository_arn" {
  description = "ECR repository of the image. Null: the image is public, and nothing may be pulled from ECR."
  type        = string
  default     = null
}

variable "secrets_kms_key_arns" {
  description = "Keys of the account that the secrets are encrypted with; none where they use AWS's own."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "tasks" {
  description = "One-off tasks by name, such as a migration: what `aws ecs run-task` starts and waits for. Fields as those of `services`."
  type = map(object({
    command = list(string)

    cpu = optional(number, 256)
    egress = optional(map(object({
      cidr_ipv4         = optional(string)
      cidr_ipv6         = optional(string)
      open_peer         = optional(bool, false)
      port              = number
      prefix_list_id    = optional(string)
      protocol          = optional(string, "tcp")
      security_group_id = optional(string)
    })), {})
    environment           = optional(map(string), {})
    ephemeral_storage_gib = optional(number)
    memory                = optional(number, 512)
    policy_statements = optional(list(object({
      actions = list(string)
      conditions = optional(list(object({
        test     = string
        values   = list(string)
        variable = string
      })), [])
      resources = list(string)
      sid       = string
    })), [])
    readonly_root_filesystem = optional(bool, true)
    secrets = optional(map(object({
      arn      = string
      json_key = optional(string)
    })), {})
    stop_timeout = optional(number, 30)
    user         = optional(string, "10001:10001")
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue(flatten([
      for workload in values(var.tasks) : [
        for egress in values(workload.egress) :
        length([for peer in [egress.cidr_ipv4, egress.cidr_ipv6, egress.prefix_list_id, egress.security_group_id] : peer if peer != null]) == 1
      ]
    ]))
    error_message = "tasks: every egress must name exactly one of cidr_ipv4, cidr_ipv6, prefix_list_id and security_group_id."
  }

  validation {
    condition     = alltrue(flatten([for workload in values(var.tasks) : [for egress in values(workload.egress) : egress.security_group_id != null if egress.open_peer]]))
    error_message = "tasks: open_peer opens the security group at the other side, so the egress must name security_group_id."
  }

  validation {
    condition     = length(setintersection(keys(var.services), keys(var.tasks))) == 0
    error_message = "tasks must have other names than services; roles, logs and task definitions are named by them."
  }
}

variable "wait_for_steady_state" {
  description = "Whether an apply waits until the services run what was applied (or were rolled back)."
  type        = bool
  default     = false
  nullable    = false
}
