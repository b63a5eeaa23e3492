variable "name" {
  description = "Prefix of the roles, such as `acme-staging`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "roles" {
  description = <<-EOT
    Roles that workflows take, by name. `subjects` are the whole subject claims of those that may, compared letter by letter;
    `policies` are policy documents by name, `managed_policy_arns` policies that exist.
  EOT
  type = map(object({
    description          = optional(string)
    managed_policy_arns  = optional(set(string), [])
    max_session_duration = optional(number, 3600)
    permissions_boundary = optional(string)
    policies             = optional(map(string), {})
    subjects             = list(string)
  }))
  nullable = false

  validation {
    condition     = length(var.roles) > 0
    error_message = "roles must hold at least one role; without any, leave the module out."
  }

  validation {
    condition     = alltrue([for key in keys(var.roles) : can(regex("^[a-z][a-z0-9-]{0,30}$", key))])
    error_message = "roles: a name must be 1 to 31 lower-case letters, digits and hyphens and begin with a letter."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : length(role.subjects) > 0])
    error_message = "roles: every role needs at least one subject, such as repo:OWNER/REPOSITORY:environment:production; without one any repository on GitHub could take it."
  }

  validation {
    condition     = alltrue(flatten([for role in values(var.roles) : [for subject in role.subjects : !strcontains(subject, "*") && !strcontains(subject, "?")]]))
    error_message = "roles: subjects are compared letter by letter, so a wildcard would match nothing, and as a pattern it could reach repositories of others; name each subject in full."
  }

  validation {
    condition = alltrue(flatten([
      for role in values(var.roles) : [
        for subject in role.subjects : can(regex("^repo:([A-Za-z0-9-]+/[A-Za-z0-9._-]+|[A-Za-z0-9-]+@[0-9]+/[A-Za-z0-9._-]+@[0-9]+):[^$]+$", replace(replace(subject, "*", ""), "?", "")))
      ]
    ]))
    error_message = "roles: a subject must be repo:OWNER/REPOSITORY:CLAIM or repo:OWNER@ID/REPOSITORY@ID:CLAIM, such as repo:acme/api:environment:production."
  }

  validation {
    condition = alltrue(flatten([
      for role in values(var.roles) : [
        for subject in role.subjects : can(regex(":(environment:.+|ref:refs/(heads|tags)/.+|pull_request|job_workflow_ref:.+)$", subject))
      ]
    ]))
    error_message = "roles: a subject must end in environment:NAME, ref:refs/heads/BRANCH, ref:refs/tags/TAG, pull_request or job_workflow_ref:WORKFLOW."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : role.max_session_duration >= 3600 && role.max_session_duration <= 43200])
    error_message = "roles: max_session_duration must be 3600 to 43200 seconds."
  }

  validation {
    condition     = alltrue(flatten([for role in values(var.roles) : [for arn in role.managed_policy_arns : can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/", arn))]]))
    error_message = "roles: managed_policy_arns must be ARNs of policies: arn:aws:iam::ACCOUNT:policy/NAME."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : role.permissions_boundary == null || can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/", role.permissions_boundary))])
    error_message = "roles: permissions_boundary must be the ARN of a policy: arn:aws:iam::ACCOUNT:policy/NAME."
  }

  validation {
    condition     = !anytrue([for role in values(var.roles) : can(regex(":iam::aws:policy/(AdministratorAccess|IAMFullAccess|PowerUserAccess)$", role.permissions_boundary))])
    error_message = "roles: AdministratorAccess, IAMFullAccess and PowerUserAccess bound nothing; permissions_boundary must be a policy that keeps a workflow from giving itself the account."
  }

  validation {
    condition = alltrue([
      for role in values(var.roles) : role.permissions_boundary != null ||
      !anytrue([for arn in role.managed_policy_arns : can(regex(":iam::aws:policy/(AdministratorAccess|IAMFullAccess|PowerUserAccess)$", arn))])
    ])
    error_message = "roles: AdministratorAccess, IAMFullAccess and PowerUserAccess need a permissions_boundary; a workflow could otherwise give itself the account."
  }

  validation {
    condition     = alltrue(flatten([for role in values(var.roles) : [for document in values(role.policies) : can(jsondecode(document).Statement)]]))
    error_message = "roles: policies must be policy documents in JSON, with a Statement."
  }

  validation {
    condition = alltrue(flatten([
      for role in values(var.roles) : [
        for document in values(role.policies) : [
          for statement in try(flatten([jsondecode(document).Statement]), []) : !(try(statement.Effect, "") == "Allow" &&
            anytrue([for action in try(flatten([statement.Action]), []) : can(regex("^([*]|[^:]+:[*]+)$", action))]) &&
          contains(try(flatten([statement.Resource]), []), "*"))
        ]
      ]
    ]))
    error_message = "roles: a policy allows every action, or every one of a service, on every resource; name what the workflow does, or what it does it to."
  }
}

variable "provider_arn" {
  description = "GitHub's identity provider, of which an account can have only one. Null: the module makes it."
  type        = string
  default     = null

  validation {
    condition     = var.provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.provider_arn))
    error_message = "provider_arn must be arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
