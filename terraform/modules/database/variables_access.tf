# Inputs on who may connect, and with which password.

variable "allowed_cidr_blocks" {
  description = "Private IPv4 blocks that may connect, by name; for a network that has no security groups, such as one behind a VPN."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for block in values(var.allowed_cidr_blocks) : try(cidrhost(block, 0) == split("/", block)[0], false) && try(anytrue([
        for private in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] : (
          tonumber(split("/", block)[1]) >= tonumber(split("/", private)[1]) &&
          cidrhost("${split("/", block)[0]}/${split("/", private)[1]}", 0) == cidrhost(private, 0)
        )
      ]), false)
    ])
    error_message = "allowed_cidr_blocks must hold private IPv4 blocks only, each from its own first address on, within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10: the database is never open to public addresses."
  }
}

variable "allowed_security_group_ids" {
  description = "Security groups that may connect, by name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "database_name" {
  description = "Database that is created first."
  type        = string
  default     = "app"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name)) && !contains(["postgres", "rdsadmin", "template0", "template1"], var.database_name)
    error_message = "database_name must be 1 to 63 lower-case letters, digits and underscores, begin with a letter and be none of the server's own (postgres, rdsadmin, template0, template1)."
  }
}

variable "manage_master_user_password" {
  description = "Whether RDS makes the master password, keeps it in Secrets Manager and rotates it. Exactly one of this and `password` is given."
  type        = bool
  default     = false
  nullable    = false
}

variable "master_username" {
  description = "Login of the master user."
  type        = string
  default     = "postgres"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.master_username)) && !contains(["admin", "rdsadmin", "rdsrepladmin", "rds_superuser", "rds_iam"], var.master_username) && !startswith(var.master_username, "pg_")
    error_message = "master_username must be 1 to 63 lower-case letters, digits and underscores, begin with a letter, and be none that RDS or PostgreSQL reserve (admin, rdsadmin, pg_…)."
  }
}

variable "password" {
  description = "Master password. It is sent to RDS when `password_version` changes, and stands in neither state nor plan."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = (var.password != null) != var.manage_master_user_password
    error_message = "Give exactly one of password (with password_version) and manage_master_user_password = true."
  }

  validation {
    condition     = var.password == null || can(regex("^[!#-.0-?A-~]{16,128}$", var.password))
    error_message = "password must be 16 to 128 printable ASCII characters without space, slash, at sign and double quote, which RDS refuses."
  }
}

variable "password_version" {
  description = "Number of the password: raise it to send a new one."
  type        = number
  default     = null

  validation {
    condition     = (var.password_version != null) != var.manage_master_user_password
    error_message = "password_version goes with password: begin with 1 and raise it to send a new password; leave it out when RDS manages the password."
  }
}

variable "proxy" {
  description = <<-EOT
    RDS Proxy, in at least two private subnets. `secret_arns`, by name, hold the logins that may pass, each as JSON with
    `username` and `password`, and `secret_kms_key_arns` the customer keys those secrets are encrypted with. A password
    managed by RDS is added by itself. Null: no proxy.
  EOT
  type = object({
    iam_required            = optional(bool, false)
    idle_client_timeout     = optional(number, 1800)
    max_connections_percent = optional(number, 90)
    secret_arns             = optional(map(string), {})
    secret_kms_key_arns     = optional(set(string), [])
    subnet_ids              = list(string)
  })
  default = null

  validation {
    condition     = var.proxy == null || var.manage_master_user_password || try(length(var.proxy.secret_arns) > 0, false)
    error_message = "proxy needs a secret to log in with: give proxy.secret_arns, or manage_master_user_password = true."
  }

  validation {
    condition     = try(length(distinct(var.proxy.subnet_ids)) >= 2, var.proxy == null)
    error_message = "proxy.subnet_ids must hold at least two subnets, each in another availability zone."
  }

  validation {
    condition     = try(var.proxy.max_connections_percent >= 1 && var.proxy.max_connections_percent <= 100 && var.proxy.idle_client_timeout >= 1 && var.proxy.idle_client_timeout <= 28800, var.proxy == null)
    error_message = "proxy: max_connections_percent must be 1 to 100, and idle_client_timeout 1 to 28800 seconds."
  }
}
