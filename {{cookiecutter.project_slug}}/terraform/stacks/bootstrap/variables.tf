# The values are those of environments/common.tfvars.

variable "domain_name" {
  description = "Domain of the service; read by the other stacks."
  type        = string
  nullable    = false
}

variable "github_repository" {
  description = "Repository on GitHub as the subject of its tokens names it: OWNER/REPOSITORY or OWNER@ID/REPOSITORY@ID. Null: workflows get no roles."
  type        = string

  validation {
    condition     = var.github_repository == null || can(regex("^([A-Za-z0-9-]+/[A-Za-z0-9._-]+|[A-Za-z0-9-]+@[0-9]+/[A-Za-z0-9._-]+@[0-9]+)$", var.github_repository))
    error_message = "github_repository must be OWNER/REPOSITORY, or OWNER@ID/REPOSITORY@ID for one made since July 2026, or null."
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

variable "slug" {
  description = "Name of the project, and prefix of everything in AWS."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])+$", var.slug)) && length(var.slug) >= 3 && length(var.slug) <= 21
    error_message = "slug must be 3 to 21 lower-case letters, digits and single hyphens, and begin with a letter."
  }
}

variable "environments" {
  description = "Environments that live in this account. An account of its own has bootstrap of its own: `make tf-plan STACK=bootstrap ENV=production` gives that one alone."
  type        = set(string)
  default     = ["dev", "staging", "production"]
  nullable    = false

  validation {
    condition     = length(var.environments) > 0 && length(setsubtract(var.environments, ["dev", "staging", "production"])) == 0
    error_message = "environments must hold some of dev, staging and production."
  }
}

variable "force_destroy" {
  description = "Whether destroying the stack deletes the states and images with it: for an account that is given up."
  type        = bool
  default     = false
  nullable    = false
}

variable "images_kept" {
  description = "How many images are kept, the newest of all environments first. ECR knows of none that it runs: what production runs, and would go back to, must be among them."
  type        = number
  default     = 1000
  nullable    = false
}
