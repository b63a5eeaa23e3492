# The values are those of environments/common.tfvars and of one environment; `make tf-plan` adds the image.

variable "environment" {
  description = "dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment must be dev, staging or production."
  }
}

variable "image" {
  description = "The image every process runs, by digest: REPOSITORY@sha256:…"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end in its digest (REPOSITORY@sha256:64 hex digits), so that what was tested is what runs: make tf-plan IMAGE=…"
  }
}

variable "owner" {
  description = "Who answers for the resources, as a tag."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "service" {
  description = "What differs by environment: size and number of the processes, and where they run."
  type = object({
    api = object({
      capacity_providers = optional(map(object({ base = optional(number, 0), weight = number })), { FARGATE = { weight = 1 } })
      cpu                = number
      max                = number
      memory             = number
      min                = number
    })
    architecture          = optional(string, "X86_64")
    cors_origins          = optional(list(string), [])
    wait_for_steady_state = optional(bool, true)
  })
  nullable = false

  validation {
    condition     = var.environment != "production" || var.service.api.min >= 2
    error_message = "production must outlive a task and a zone: service.api.min of at least 2."
  }
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

variable "domain_name" {
  description = "Read by the stack platform."
  type        = string
}

variable "github_repository" {
  description = "Read by the stack bootstrap."
  type        = string
}

variable "platform" {
  description = "Read by the stack platform, but for how long logs are kept."
  type        = object({ log_retention_days = optional(number, 90) })
  nullable    = false
}
