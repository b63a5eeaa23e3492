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

variable "subnet_ids" {
  description = "Private subnets of the cache, in at least two availability zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids must hold at least two subnets, each in another availability zone, or a replica could not stand apart from its primary."
  }

  validation {
    condition     = var.serverless == null || length(distinct(var.subnet_ids)) <= 3
    error_message = "subnet_ids: a serverless cache takes two or three subnets."
  }
}

variable "vpc_id" {
  description = "VPC of the subnets."
  type        = string
  nullable    = false
}

variable "allowed_security_group_ids" {
  description = "Security groups that may connect, by name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "apply_immediately" {
  description = "Whether changes are made at once instead of in the maintenance window."
  type        = bool
  default     = false
  nullable    = false
}

variable "auto_minor_version_upgrade" {
  description = "Whether ElastiCache applies minor versions in the maintenance window."
  type        = bool
  default     = true
  nullable    = false
}

variable "engine_version" {
  description = "Valkey's version, such as `8.1`. At least 8."
  type        = string
  default     = "8.1"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+$", var.engine_version)) && try(tonumber(split(".", var.engine_version)[0]) >= 8, false)
    error_message = "engine_version must be Valkey 8.0 or newer, with its minor: `8.1`."
  }
}

variable "external_user_ids" {
  description = "Ids of users with a password, made outside Terraform so that it stands in no state; the README says how."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.iam_users) + length(var.external_user_ids) > 0
    error_message = "Give at least one user, in iam_users or external_user_ids: nobody could log in otherwise."
  }

  validation {
    condition     = alltrue([for id in var.external_user_ids : can(regex("^[a-z](-?[a-z0-9])*$", id)) && length(id) <= 40 && id != "default"])
    error_message = "external_user_ids must hold ids of users (lower-case letters, digits and single hyphens, 40 at most), and never `default`, which needs no password."
  }
}

variable "final_snapshot_identifier" {
  description = "Name of the snapshot taken on deletion; null: the cache's name with `-final`. A serverless cache takes none."
  type        = string
  default     = null

  validation {
    condition     = var.final_snapshot_identifier == null || can(regex("^[a-z](-?[a-z0-9])*$", var.final_snapshot_identifier))
    error_message = "final_snapshot_identifier must be lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "iam_users" {
  description = "Users that log in with an IAM token, by name, and what each may do. The default is everything but what is dangerous to others."
  type = map(object({
    access_string = optional(string, "on ~* &* +@all -@dangerous +info")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for key in keys(var.iam_users) : can(regex("^[a-z](-?[a-z0-9])*$", key)) && length("${var.name}-${key}") <= 40])
    error_message = "iam_users: names must be lower-case letters, digits and single hyphens, and with the prefix `name` at most 40 characters."
  }

  validation {
    condition     = alltrue([for user in values(var.iam_users) : can(regex("^(on|off) ", user.access_string)) && !can(regex("nopass|>|#", user.access_string))])
    error_message = "iam_users: access_string must begin with `on` or `off`, and hold no password."
  }
}

variable "kms_key_arn" {
  description = "Key of the data, snapshots and logs; it must allow CloudWatch Logs. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID."
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
