variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`; a secret is called `acme-staging/KEY`."
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
}

variable "secrets" {
  description = <<-EOT
    Secrets, by name. With `value_version` the module writes the value of the same name in `values`, and writes it anew when the
    number changes; without, the secret is made empty and somebody else fills it.
  EOT
  type = map(object({
    description          = string
    recovery_window_days = optional(number, 30)
    value_version        = optional(number)
  }))
  nullable = false

  validation {
    condition     = length(var.secrets) > 0
    error_message = "secrets must hold at least one secret; without any, leave the module out."
  }

  validation {
    condition     = alltrue([for key in keys(var.secrets) : can(regex("^[a-z][a-z0-9_/-]{0,126}[a-z0-9]$", key)) && !can(regex("-[a-zA-Z0-9]{6}$", key))])
    error_message = "secrets: a name must be 2 to 128 lower-case letters, digits, hyphens, underscores and slashes, begin with a letter, and not end in a hyphen and six letters, which AWS would take for its own suffix."
  }

  validation {
    condition     = alltrue([for secret in values(var.secrets) : secret.recovery_window_days == 0 || contains(range(7, 31), secret.recovery_window_days)])
    error_message = "secrets: recovery_window_days must be 7 to 30, or 0 to delete at once and for good."
  }

  validation {
    condition     = alltrue([for secret in values(var.secrets) : secret.value_version == null || try(secret.value_version >= 1 && floor(secret.value_version) == secret.value_version, false)])
    error_message = "secrets: value_version must be a whole number of at least 1; raise it to write a new value."
  }
}

variable "kms_key_arn" {
  description = "Key that exists already, to encrypt the secrets with. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "readers" {
  description = "Policy documents to write, by reader: the names of the secrets each may read."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for names in values(var.readers) : length(names) > 0])
    error_message = "readers: each needs the name of at least one secret."
  }

  validation {
    condition     = length(setsubtract(flatten([for names in values(var.readers) : tolist(names)]), keys(var.secrets))) == 0
    error_message = "readers: ${join(", ", setsubtract(flatten([for names in values(var.readers) : tolist(names)]), keys(var.secrets)))} is not in secrets."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "values" {
  description = "Values of secrets with a `value_version`, by name. They reach neither plan nor state; needed only when a version is new."
  type        = map(string)
  default     = {}
  ephemeral   = true
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.values) : try(var.secrets[key].value_version, null) != null])
    error_message = "values: each must belong to a secret of the same name that has a value_version; otherwise it would be written nowhere."
  }

  validation {
    condition     = alltrue([for value in values(var.values) : length(value) > 0])
    error_message = "values: a value is empty; leave it out, or give it."
  }
}
