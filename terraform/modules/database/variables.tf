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

variable "apply_immediately" {
  description = "Whether changes are made at once, with the restarts they need, instead of in the maintenance window."
  type        = bool
  default     = false
  nullable    = false
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

variable "iam_authentication_enabled" {
  description = "Whether logins that were granted `rds_iam` may use an IAM token as their password."
  type        = bool
  default     = true
  nullable    = false
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

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the primary fails."
  type        = bool
  default     = true
  nullable    = false
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

variable "production" {
  description = "Whether losing the data would matter: at least 7 days of backups that outlive the database, deletion protection and a final snapshot are then a must."
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
