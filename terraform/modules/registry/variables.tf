variable "name" {
  description = "Name of the repository and prefix of what goes with it, such as `acme`. One repository serves all environments, so that what was tested is what runs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 32 lower-case letters, digits and single hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "force_delete" {
  description = "Whether destroying the module deletes the images in the repository."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key that exists already, to encrypt the images with; it cannot be changed later. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "pull_account_ids" {
  description = "Other accounts that may pull. None: the repository has no policy, and only the account's own roles reach it."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for account in var.pull_account_ids : can(regex("^[0-9]{12}$", account))])
    error_message = "pull_account_ids must be account numbers of twelve digits."
  }
}

variable "retention" {
  description = "How many images are kept, the newest first, and for how many days those without a tag. The image that runs must be among them."
  type = object({
    images        = optional(number, 100)
    untagged_days = optional(number, 7)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.retention.images >= 2 && floor(var.retention.images) == var.retention.images
    error_message = "retention.images must be a whole number of at least 2: the image that runs, and the one to go back to."
  }

  validation {
    condition     = var.retention.untagged_days >= 1 && floor(var.retention.untagged_days) == var.retention.untagged_days
    error_message = "retention.untagged_days must be a whole number of at least 1."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
