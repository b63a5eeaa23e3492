# Inputs on what is watched and logged.

variable "log_exports" {
  description = "Logs sent to CloudWatch."
  type        = set(string)
  default     = ["postgresql", "upgrade"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.log_exports, ["iam-db-auth-error", "postgresql", "upgrade"])) == 0
    error_message = "log_exports may hold postgresql, upgrade and iam-db-auth-error."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, …"
  }
}

variable "monitoring_interval" {
  description = "Seconds between two samples of the operating system (enhanced monitoring); 0 turns it off."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = contains([0, 1, 5, 10, 15, 30, 60], var.monitoring_interval)
    error_message = "monitoring_interval must be 0 (off), 1, 5, 10, 15, 30 or 60 seconds."
  }
}

variable "performance_insights" {
  description = "Performance Insights: days of history, 7 of which are free, and whether Database Insights runs in its advanced mode, which needs 465."
  type = object({
    advanced       = optional(bool, false)
    enabled        = optional(bool, true)
    retention_days = optional(number, 7)
  })
  default  = {}
  nullable = false

  validation {
    condition = (contains([7, 465, 731], var.performance_insights.retention_days) ||
    (var.performance_insights.retention_days % 31 == 0 && var.performance_insights.retention_days >= 31 && var.performance_insights.retention_days <= 713))
    error_message = "performance_insights.retention_days must be 7, 465, 731 or a multiple of 31 up to 713."
  }

  validation {
    condition     = !var.performance_insights.advanced || (var.performance_insights.enabled && var.performance_insights.retention_days >= 465)
    error_message = "performance_insights.advanced needs enabled = true and retention_days = 465 or more."
  }
}
