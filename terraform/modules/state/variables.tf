variable "name" {
  description = "Prefix of everything the module makes, such as `acme`; the bucket's name adds `-terraform-state-` and the account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "region" {
  description = "Region of the bucket, which a backend must name."
  type        = string
  nullable    = false
}

variable "access_log_bucket" {
  description = "Bucket that the access logs of the state go to. Null: none are written."
  type        = string
  default     = null
}

variable "access_prefixes" {
  description = "Prefixes of state keys, such as `staging/`, to write an access policy for: one role, one environment."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prefix in var.access_prefixes : can(regex("^([a-zA-Z0-9_-]+/)+$", prefix))])
    error_message = "access_prefixes must be folders, each ending in a slash and without wildcards, such as staging/."
  }
}

variable "force_destroy" {
  description = "Whether destroying the module deletes every state in the bucket. With them goes the knowledge of what exists."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key that exists already, to encrypt the states with. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "noncurrent_versions" {
  description = "Earlier versions of a state: the newest `keep` stay for good, the rest for `days`."
  type = object({
    days = optional(number, 90)
    keep = optional(number, 20)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.noncurrent_versions.days >= 1 && floor(var.noncurrent_versions.days) == var.noncurrent_versions.days
    error_message = "noncurrent_versions.days must be a whole number of at least 1."
  }

  validation {
    condition     = contains(range(1, 101), var.noncurrent_versions.keep)
    error_message = "noncurrent_versions.keep must be 1 to 100: S3 counts no further, and without an earlier version a broken state cannot be undone."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
