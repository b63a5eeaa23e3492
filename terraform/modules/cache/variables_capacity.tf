# Inputs on size, snapshots and what outlives the cache.

variable "maintenance_window" {
  description = "When ElastiCache may patch, in UTC; it must not overlap the snapshot window."
  type        = string
  default     = "sun:05:00-sun:06:00"
  nullable    = false

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window must read ddd:hh:mm-ddd:hh:mm in UTC, such as sun:05:00-sun:06:00."
  }
}

variable "nodes" {
  description = "Size of each node, and how many replicas stand by in other zones; 0 gives up failover. Null: two cache.t4g.small, unless serverless."
  type = object({
    replicas = optional(number, 1)
    type     = optional(string, "cache.t4g.small")
  })
  default = null

  validation {
    condition     = var.nodes == null || var.serverless == null
    error_message = "Give at most one of nodes and serverless: a cache stands on nodes or on none."
  }

  validation {
    condition     = try(var.nodes.replicas >= 0 && var.nodes.replicas <= 5 && floor(var.nodes.replicas) == var.nodes.replicas, var.nodes == null)
    error_message = "nodes.replicas must be 0 to 5."
  }

  validation {
    condition     = try(can(regex("^cache[.][a-z0-9-]+[.][a-z0-9]+$", var.nodes.type)), false) || var.nodes == null
    error_message = "nodes.type must be an ElastiCache type such as cache.t4g.small or cache.m7g.large."
  }

  validation {
    condition     = try(!var.production || var.nodes.replicas >= 1, var.nodes == null)
    error_message = "production needs a replica to fail over to: set nodes.replicas to 1 or more, or say production = false."
  }
}

variable "parameters" {
  description = "Further server parameters by name; `maxmemory-policy` is the module's own."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.parameters), "maxmemory-policy")
    error_message = "parameters must not set maxmemory-policy: the cache holds streams, limits and jobs, so it must refuse writes when full (noeviction) rather than drop some."
  }

  validation {
    condition     = var.serverless == null || length(var.parameters) == 0
    error_message = "parameters: a serverless cache takes none; set parameters = {}."
  }
}

variable "production" {
  description = "Whether losing the data would matter: a replica, snapshots and a final snapshot are then a must."
  type        = bool
  default     = true
  nullable    = false
}

variable "serverless" {
  description = "A cache without nodes, and its ceilings. Its clients must speak the cluster protocol, and it evicts keys with an expiry when full."
  type = object({
    max_ecpu_per_second = optional(number, 5000)
    max_storage_gb      = optional(number, 10)
  })
  default = null

  validation {
    condition     = try(var.serverless.max_storage_gb >= 1 && var.serverless.max_storage_gb <= 5000 && var.serverless.max_ecpu_per_second >= 1000 && var.serverless.max_ecpu_per_second <= 15000000, var.serverless == null)
    error_message = "serverless: max_storage_gb must be 1 to 5000, and max_ecpu_per_second 1000 to 15000000."
  }
}

variable "skip_final_snapshot" {
  description = "Whether deleting the cache leaves no snapshot of it."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.production && var.skip_final_snapshot)
    error_message = "production needs a final snapshot: set skip_final_snapshot = false, or say production = false where the data may be lost."
  }
}

variable "slow_log_enabled" {
  description = "Whether slow commands are logged with their arguments, which hold keys and values of tenants."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.slow_log_enabled && var.serverless != null)
    error_message = "slow_log_enabled: a serverless cache delivers no logs; set it to false."
  }
}

variable "snapshot_retention_days" {
  description = "Days that daily snapshots are kept; 0 takes none."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.snapshot_retention_days >= 0 && var.snapshot_retention_days <= 35
    error_message = "snapshot_retention_days must be 0 to 35."
  }

  validation {
    condition     = !var.production || var.snapshot_retention_days >= 1
    error_message = "production needs snapshots: set snapshot_retention_days to 1 or more, or say production = false where the data may be lost."
  }
}

variable "snapshot_window" {
  description = "When the daily snapshot is taken, in UTC; a serverless cache takes it at its begin."
  type        = string
  default     = "03:00-04:00"
  nullable    = false

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.snapshot_window))
    error_message = "snapshot_window must read hh:mm-hh:mm in UTC, such as 03:00-04:00."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
