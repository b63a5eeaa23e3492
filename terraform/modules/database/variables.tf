variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 32 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "subnet_group_name" {
  description = "Subnet group of private subnets, in at least two availability zones."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the subnet group."
  type        = string
  nullable    = false
}

variable "allow_major_version_upgrade" {
  description = "Whether a change of the major version is carried out rather than refused. On for the one apply that upgrades."
  type        = bool
  default     = false
  nullable    = false
}

variable "apply_immediately" {
  description = "Whether changes are made at once, with the restarts they need, instead of in the maintenance window."
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

variable "ca_cert_identifier" {
  description = "Authority that signs the server's certificate."
  type        = string
  default     = "rds-ca-rsa2048-g1"
  nullable    = false

  validation {
    condition     = startswith(var.ca_cert_identifier, "rds-ca-") && var.ca_cert_identifier != "rds-ca-2019"
    error_message = "ca_cert_identifier must be one of RDS's authorities that has not expired, such as rds-ca-rsa2048-g1, rds-ca-rsa4096-g1 or rds-ca-ecc384-g1."
  }
}

variable "engine_version" {
  description = "PostgreSQL's version: a major such as `18`, so that RDS chooses the minor, or `18.1`. At least 15."
  type        = string
  default     = "18"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+([.][0-9]+)?$", var.engine_version)) && try(tonumber(split(".", var.engine_version)[0]) >= 15, false)
    error_message = "engine_version must be 15 or newer, as a major (`18`) or with its minor (`18.1`); older servers are not supported."
  }
}

variable "iam_authentication_enabled" {
  description = "Whether logins that were granted `rds_iam` may use an IAM token as their password."
  type        = bool
  default     = true
  nullable    = false
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

variable "kms_key_arn" {
  description = "Key of storage, Performance Insights, logs and the managed secret; it must allow CloudWatch Logs. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "maintenance_window" {
  description = "When RDS may patch, in UTC; it must not overlap the backup window."
  type        = string
  default     = "sun:03:30-sun:04:30"
  nullable    = false

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "maintenance_window must read ddd:hh:mm-ddd:hh:mm in UTC, such as sun:03:30-sun:04:30."
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

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the primary fails."
  type        = bool
  default     = true
  nullable    = false
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

variable "port" {
  description = "Port of the primary and its replicas."
  type        = number
  default     = 5432
  nullable    = false

  validation {
    condition     = var.port >= 1150 && var.port <= 65535
    error_message = "port must be 1150 to 65535, as RDS wants it."
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

variable "production" {
  description = "Whether losing the data would matter: at least 7 days of backups that outlive the database, deletion protection and a final snapshot are then a must."
  type        = bool
  default     = true
  nullable    = false
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
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
