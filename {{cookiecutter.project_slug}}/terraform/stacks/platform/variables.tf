# The values are those of environments/common.tfvars and of one environment.

variable "domain_name" {
  description = "Domain whose zone in Route 53 gets the names of the service."
  type        = string
  nullable    = false
}

variable "environment" {
  description = "dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment must be dev, staging or production."
  }
}

variable "owner" {
  description = "Who answers for the resources, as a tag."
  type        = string
  nullable    = false
}

variable "platform" {
  description = "What differs by environment: the network and the sizes, safety and watching of what stands in it."
  type = object({
    alarm_emails       = optional(set(string), [])
    capacity_providers = optional(map(object({ base = optional(number, 0), weight = number })), { FARGATE = { weight = 1 } })
    cidr_block         = string
    cache = object({
      replicas                = optional(number, 1)
      snapshot_retention_days = optional(number, 7)
      type                    = string
    })
    database = object({
      backup_retention_days = optional(number, 14)
      connections_alarm     = number
      instance_class        = string
      multi_az              = optional(bool, true)
      storage               = object({ allocated_gib = number, max_gib = number })
    })
    deletion_protection  = optional(bool, true)
    interface_endpoints  = optional(set(string), [])
    log_retention_days   = optional(number, 90)
    nat                  = optional(string, "per_zone")
    production           = optional(bool, true)
    secret_recovery_days = optional(number, 30)
    zones                = map(number)
  })
  nullable = false

  validation {
    condition     = var.environment != "production" || var.giving_up || (var.platform.production && var.platform.deletion_protection)
    error_message = "production needs platform.production and platform.deletion_protection: to give the environment up, say giving_up = true as well."
  }

  validation {
    condition     = var.environment != "production" || (var.platform.database.multi_az && var.platform.database.backup_retention_days >= 14)
    error_message = "production needs a standby database and at least 14 days of backups: platform.database.multi_az = true, backup_retention_days = 14 or more."
  }

  validation {
    condition     = var.environment != "production" || (var.platform.nat == "per_zone" && var.platform.cache.replicas >= 1 && length(var.platform.zones) >= 2)
    error_message = "production must outlive a zone: platform.nat = \"per_zone\", cache.replicas of at least 1 and two zones or more."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "slug" {
  description = "Name of the project, and prefix of everything in AWS."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])+$", var.slug)) && length(var.slug) >= 3 && length(var.slug) <= 21
    error_message = "slug must be 3 to 21 lower-case letters, digits and single hyphens, and begin with a letter."
  }
}

variable "giving_up" {
  description = "Whether this environment is being destroyed: protection of a production may then be taken away, and access logs are deleted with it."
  type        = bool
  default     = false
  nullable    = false
}

# Of other stacks; the files of values are shared.

variable "environments" {
  description = "Read by the stack bootstrap."
  type        = any
  default     = null
}

variable "images_kept" {
  description = "Read by the stack bootstrap."
  type        = any
  default     = null
}

variable "github_repository" {
  description = "Read by the stack bootstrap."
  type        = string
}

variable "service" {
  description = "Read by the stack service."
  type        = any
  default     = null
}
