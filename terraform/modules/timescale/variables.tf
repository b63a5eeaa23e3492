variable "mode" {
  description = "`ec2`: the module runs the server. `cloud`: a managed Timescale does, and only the secret with its URL is passed through."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["cloud", "ec2"], var.mode)
    error_message = "mode must be `ec2` or `cloud`."
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

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be one of AWS's, such as eu-west-1."
  }
}

variable "allowed_security_group_ids" {
  description = "Security groups that may connect, by name."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = var.mode == "ec2" || length(var.allowed_security_group_ids) == 0
    error_message = "allowed_security_group_ids belongs to mode = \"ec2\"; leave it out when the server stands elsewhere."
  }
}

variable "ami_id" {
  description = "Image of Debian, best one that brings the packages. Null: Debian's newest for the instance type, which `ami_ssm_parameter` names."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null || can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "ami_id must be the id of an image: ami-0123456789abcdef0."
  }

  validation {
    condition     = var.ami_id == null || var.mode == "ec2"
    error_message = "ami_id belongs to mode = \"ec2\"; leave it out when the server stands elsewhere."
  }
}

variable "ami_ssm_parameter" {
  description = "Public parameter with the image's id, of an image of Debian. Null: that of Debian 13 for the instance type's architecture."
  type        = string
  default     = null

  validation {
    condition     = var.ami_ssm_parameter == null || (var.ami_id == null && var.mode == "ec2")
    error_message = "ami_ssm_parameter belongs to mode = \"ec2\", and only where ami_id is not given."
  }

  validation {
    condition     = var.ami_ssm_parameter == null || startswith(coalesce(var.ami_ssm_parameter, "/"), "/")
    error_message = "ami_ssm_parameter must be the path of a parameter: /aws/service/debian/release/13/latest/arm64."
  }
}

variable "backup" {
  description = "Daily snapshots of the data volume: when, in UTC, and for how many days they are kept."
  type = object({
    retention_days = optional(number, 35)
    schedule       = optional(string, "cron(0 2 * * ? *)")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.backup.retention_days >= 1 && var.backup.retention_days <= 36500
    error_message = "backup.retention_days must be 1 to 36500: a database without backups is not made."
  }

  validation {
    condition     = !var.production || var.backup.retention_days >= 7
    error_message = "production needs at least 7 days of backups: raise backup.retention_days, or say production = false where the data may be lost."
  }

  validation {
    condition     = can(regex("^(cron|rate)[(].+[)]$", var.backup.schedule))
    error_message = "backup.schedule must be an expression such as cron(0 2 * * ? *)."
  }
}

variable "cloud_dsn_secret_arn" {
  description = "Secret with the URL of a managed Timescale; for `cloud` only."
  type        = string
  default     = null

  validation {
    condition     = (var.mode == "cloud") == (var.cloud_dsn_secret_arn != null)
    error_message = "cloud_dsn_secret_arn is needed with mode = \"cloud\", and belongs to it alone: it names the secret with the URL of the managed Timescale."
  }

  validation {
    condition     = var.cloud_dsn_secret_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:", var.cloud_dsn_secret_arn))
    error_message = "cloud_dsn_secret_arn must be the ARN of a secret, never the URL itself: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME."
  }
}

variable "database_name" {
  description = "Database with the extension."
  type        = string
  default     = "metering"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name)) && !contains(["postgres", "template0", "template1"], var.database_name)
    error_message = "database_name must be 1 to 63 lower-case letters, digits and underscores, begin with a letter and be none of the server's own."
  }
}

variable "egress_cidr_blocks" {
  description = "Where the instance may speak HTTPS to, by name: AWS's services, and the package repositories unless the image brings the packages."
  type        = map(string)
  default     = { everywhere = "0.0.0.0/0" }
  nullable    = false

  validation {
    condition     = alltrue([for block in values(var.egress_cidr_blocks) : can(cidrnetmask(block)) && try(cidrhost(block, 0) == split("/", block)[0], false)])
    error_message = "egress_cidr_blocks must hold IPv4 blocks that begin at their own first address, such as 10.0.0.0/16."
  }
}

variable "instance_type" {
  description = "Size of the server. A type with local disks gains nothing: the data is on its own volume."
  type        = string
  default     = "t4g.medium"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[.][a-z0-9]+$", var.instance_type))
    error_message = "instance_type must be a type of EC2 on Nitro, such as t4g.medium or m7g.large."
  }
}

variable "kms_key_arn" {
  description = "Key of the data volume and the backups. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "production" {
  description = "Whether losing the data would matter: at least 7 days of backups, and a snapshot before the volume is deleted, are then a must."
  type        = bool
  default     = true
  nullable    = false
}
