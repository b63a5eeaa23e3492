# Inputs on the server: its version, size and parameters.

variable "allow_major_version_upgrade" {
  description = "Whether a change of the major version is carried out rather than refused. On for the one apply that upgrades."
  type        = bool
  default     = false
  nullable    = false
}

variable "auto_minor_version_upgrade" {
  description = "Whether RDS applies minor versions in the maintenance window."
  type        = bool
  default     = true
  nullable    = false
}

variable "blue_green_update" {
  description = "Whether updates that need it run on a copy that is then switched to. Not with a password managed by RDS, nor with replicas."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.blue_green_update && var.manage_master_user_password)
    error_message = "RDS makes no blue/green deployment of a database whose master password it manages: set blue_green_update = false, or give password and password_version."
  }

  validation {
    condition     = !(var.blue_green_update && length(var.replicas) > 0)
    error_message = "The provider makes no blue/green update of a database with replicas: set blue_green_update = false, or replicas = {}."
  }
}

variable "engine_version" {
  description = "PostgreSQL's version: a major such as `18`, so that RDS chooses the minor, or `18.1`. From 15 to 18."
  type        = string
  default     = "18"
  nullable    = false

  validation {
    condition     = can(regex("^1[5-8]([.][0-9]+)?$", var.engine_version))
    error_message = "engine_version must be 15 to 18, as a major (`18`) or with its minor (`18.1`); others are not supported."
  }
}

variable "instance_class" {
  description = "Size of the primary, and of replicas that name none."
  type        = string
  default     = "db.t4g.medium"
  nullable    = false

  validation {
    condition     = can(regex("^db[.][a-z0-9-]+[.][a-z0-9]+$", var.instance_class))
    error_message = "instance_class must be an RDS class such as db.t4g.medium or db.m7g.large."
  }
}

variable "max_locks_per_transaction" {
  description = "Lock slots a connection. A dump or a migration of many tenants locks every table of each; the server's own default of 64 runs out."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.max_locks_per_transaction >= 64 && var.max_locks_per_transaction <= 100000 && floor(var.max_locks_per_transaction) == var.max_locks_per_transaction
    error_message = "max_locks_per_transaction must be a whole number from 64 to 100000; a slot takes about 270 bytes for each allowed connection."
  }
}

variable "parameters" {
  description = "Further server parameters by name. Those that keep TLS, log contents, locks and preloaded libraries are the module's own."
  type = map(object({
    apply_method = optional(string, "immediate")
    value        = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setintersection(keys(var.parameters), keys(local.fixed_parameters))) == 0
    error_message = "parameters must not set what the module sets itself (${join(", ", setintersection(keys(var.parameters), keys(local.fixed_parameters)))}): use max_locks_per_transaction and preload_libraries; the others keep connections and logs safe."
  }

  validation {
    condition     = alltrue([for parameter in values(var.parameters) : contains(["immediate", "pending-reboot"], parameter.apply_method)])
    error_message = "parameters: apply_method must be `immediate`, or `pending-reboot` for what the server reads at its start only."
  }
}

variable "preload_libraries" {
  description = "Libraries preloaded beside pg_stat_statements, such as `pg_cron` or `auto_explain`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for library in var.preload_libraries : can(regex("^[a-z0-9_]+$", library)) && library != "pg_stat_statements"])
    error_message = "preload_libraries must hold names of libraries such as pg_cron; pg_stat_statements is always there."
  }
}

variable "storage" {
  description = "The gp3 volume in GiB, the size it may grow to by itself, and IOPS and MiB/s above the baseline, which RDS offers from 400 GiB on."
  type = object({
    allocated_gib = optional(number, 50)
    iops          = optional(number)
    max_gib       = optional(number, 500)
    throughput    = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.storage.allocated_gib >= 20 && var.storage.max_gib <= 65536
    error_message = "storage: allocated_gib must be at least 20, and max_gib at most 65536."
  }

  validation {
    condition     = var.storage.max_gib >= ceil(var.storage.allocated_gib * 1.1)
    error_message = "storage.max_gib must be at least a tenth above allocated_gib, or the volume could never grow."
  }

  validation {
    condition     = (var.storage.iops == null && var.storage.throughput == null) || var.storage.allocated_gib >= 400
    error_message = "storage: RDS takes iops and throughput for gp3 from 400 GiB on; leave them out for a smaller volume, which has 3000 IOPS and 125 MiB/s."
  }

  validation {
    condition     = (var.storage.iops == null) == (var.storage.throughput == null)
    error_message = "storage: give iops and throughput together, or neither."
  }

  validation {
    condition     = try(var.storage.iops >= 12000 && var.storage.iops <= 64000 && var.storage.throughput >= 500 && var.storage.throughput <= 4000, var.storage.iops == null || var.storage.throughput == null)
    error_message = "storage: iops must be 12000 to 64000 and throughput 500 to 4000; a gp3 volume from 400 GiB on has the least of both anyway."
  }
}
