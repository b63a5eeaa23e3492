variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`; the name of the topic and the dashboard."
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

variable "caches" {
  description = <<-EOT
    Nodes of ElastiCache to watch, by name: their cluster id, and where the alarms are. `memory` and `cpu` are per cent,
    `evictions` a minute.
  EOT
  type = map(object({
    cluster_id = string
    cpu        = optional(number, 80)
    evictions  = optional(number, 100)
    memory     = optional(number, 80)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue(flatten([for cache in values(var.caches) : [for share in [cache.cpu, cache.memory] : share > 0 && share < 100]]))
    error_message = "caches: cpu and memory are per cent, above 0 and below 100."
  }

  validation {
    condition     = alltrue([for cache in values(var.caches) : cache.evictions >= 1])
    error_message = "caches: evictions must be at least 1 a minute."
  }
}

variable "databases" {
  description = <<-EOT
    RDS instances to watch, by name. `connections` is where the alarm is, some way below the instance's own limit;
    `free_storage_gib` how much must be left; `replica_lag_seconds` is given for a replica only.
  EOT
  type = map(object({
    connections         = number
    cpu                 = optional(number, 80)
    free_storage_gib    = optional(number, 10)
    instance_id         = string
    replica_lag_seconds = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for database in values(var.databases) : database.cpu > 0 && database.cpu < 100])
    error_message = "databases: cpu is per cent, above 0 and below 100."
  }

  validation {
    condition     = alltrue([for database in values(var.databases) : database.connections >= 1 && database.free_storage_gib > 0])
    error_message = "databases: connections must be at least 1 and free_storage_gib above 0."
  }

  validation {
    condition     = alltrue([for database in values(var.databases) : database.replica_lag_seconds > 0 if database.replica_lag_seconds != null])
    error_message = "databases: replica_lag_seconds must be above 0, or null for an instance that is no replica."
  }
}

variable "kms_key_arn" {
  description = "Key of the topic; it must let CloudWatch use it. Null: the module makes one. AWS's own key would keep alarms from being sent."
  type        = string
  default     = null
}

variable "load_balancer" {
  description = <<-EOT
    Load balancer to watch: its dimension and those of its target groups by name, the share of requests in per cent
    that may fail, and the seconds that 99 of 100 requests may take.
  EOT
  type = object({
    arn_suffix              = string
    latency_p99_seconds     = optional(number, 1)
    max_5xx_percent         = optional(number, 1)
    target_group_arn_suffix = optional(map(string), {})
  })
  default = null

  validation {
    condition     = try(var.load_balancer.latency_p99_seconds > 0 && var.load_balancer.max_5xx_percent > 0 && var.load_balancer.max_5xx_percent < 100, var.load_balancer == null)
    error_message = "load_balancer: latency_p99_seconds must be above 0, max_5xx_percent above 0 and below 100."
  }
}

variable "queues" {
  description = <<-EOT
    SQS queues to watch, by name: how old in seconds the oldest message may be, and the queue of dead letters, which
    must be empty.
  EOT
  type = map(object({
    dead_letter_queue_name = optional(string)
    max_age_seconds        = optional(number, 300)
    queue_name             = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.max_age_seconds > 0])
    error_message = "queues: max_age_seconds must be above 0."
  }
}

variable "services" {
  description = <<-EOT
    ECS services to watch, by name: how busy in per cent their processors and memory may be, and how many tasks must run;
    0 for a service that may have none. Its cluster needs Container Insights.
  EOT
  type = map(object({
    cluster_name = string
    cpu          = optional(number, 85)
    memory       = optional(number, 85)
    min_tasks    = optional(number, 1)
    service_name = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for service in values(var.services) : service.min_tasks >= 0 && floor(service.min_tasks) == service.min_tasks])
    error_message = "services: min_tasks must be a whole number of tasks, 0 for a service that may have none."
  }

  validation {
    condition     = alltrue(flatten([for service in values(var.services) : [for share in [service.cpu, service.memory] : share > 0 && share < 100]]))
    error_message = "services: cpu and memory are per cent, above 0 and below 100."
  }
}

variable "subscriptions" {
  description = "Who hears of alarms, by name. An email address has to be confirmed by its owner; an endpoint must be HTTPS."
  type = map(object({
    endpoint = string
    protocol = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for subscription in values(var.subscriptions) : contains(["email", "https", "lambda", "sqs"], subscription.protocol)])
    error_message = "subscriptions: protocol must be email, https, lambda or sqs; plain http is refused."
  }

  validation {
    condition     = alltrue([for subscription in values(var.subscriptions) : startswith(subscription.endpoint, "https://") if subscription.protocol == "https"])
    error_message = "subscriptions: the endpoint of an https subscription must begin with https://."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
