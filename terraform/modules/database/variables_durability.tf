# Inputs on backups, replicas and what outlives the database.

variable "backup_retention_days" {
  description = "Days for which the database can be restored to any point in time."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be 1 to 35: a database without backups is not made."
  }

  validation {
    condition     = !var.production || var.backup_retention_days >= 7
    error_message = "production needs at least 7 days of backups: raise backup_retention_days, or say production = false where the data may be lost."
  }
}

variable "backup_window" {
  description = "When the daily snapshot is taken, in UTC."
  type        = string
  default     = "02:00-03:00"
  nullable    = false

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.backup_window))
    error_message = "backup_window must read hh:mm-hh:mm in UTC, such as 02:00-03:00."
  }
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the database and its replicas."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = !var.production || var.deletion_protection
    error_message = "production needs deletion_protection = true; to remove the database, say production = false first, which is an apply of its own."
  }
}

variable "final_snapshot_identifier" {
  description = "Name of the snapshot taken on deletion; null: the database's name with `-final`. Another one is needed when that exists already."
  type        = string
  default     = null

  validation {
    condition     = var.final_snapshot_identifier == null || can(regex("^[a-z](-?[a-z0-9])*$", var.final_snapshot_identifier))
    error_message = "final_snapshot_identifier must be lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "replicas" {
  description = "Read replicas by name. Not with a password managed by RDS."
  type = map(object({
    instance_class = optional(string)
    multi_az       = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(var.replicas) == 0 || !var.manage_master_user_password
    error_message = "RDS makes no read replica of a database whose master password it manages: set replicas = {}, or give password and password_version instead of manage_master_user_password."
  }

  validation {
    condition     = length(var.replicas) <= 15 && alltrue([for key in keys(var.replicas) : can(regex("^[a-z0-9](-?[a-z0-9])*$", key)) && length(key) <= 16])
    error_message = "replicas: at most 15, named by up to 16 lower-case letters, digits and single hyphens."
  }
}

variable "restore_to_point_in_time" {
  description = "Make the database from another one's backups, as it was at `time` (RFC 3339, UTC); null: as late as can be. It matters at creation only."
  type = object({
    source_instance_id = string
    time               = optional(string)
  })
  default = null

  validation {
    condition     = var.restore_to_point_in_time == null || var.snapshot_identifier == null
    error_message = "Give at most one of restore_to_point_in_time and snapshot_identifier: a database is restored from one source."
  }

  validation {
    condition     = try(var.restore_to_point_in_time.time, null) == null || can(regex("Z$", formatdate("YYYY-MM-DD'T'hh:mm:ssZ", var.restore_to_point_in_time.time)))
    error_message = "restore_to_point_in_time.time must be a time in UTC such as 2026-11-24T09:45:00Z."
  }
}

variable "skip_final_snapshot" {
  description = "Whether deleting the database leaves no snapshot of it."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.production && var.skip_final_snapshot)
    error_message = "production needs a final snapshot: set skip_final_snapshot = false, or say production = false where the data may be lost."
  }
}

variable "snapshot_identifier" {
  description = "Make the database from this snapshot. It matters at creation only."
  type        = string
  default     = null
}
