provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the secrets in."
  type        = string
  default     = "us-east-1"
}

variable "session_key" {
  description = "Key that sessions are signed with. Give it as TF_VAR_session_key; needed only when its value_version is new."
  type        = string
  default     = null
  ephemeral   = true
}

module "secrets" {
  source = "../../modules/secrets"

  name   = "example"
  region = var.region

  # An example may vanish at once; a secret that counts keeps its thirty days.
  secrets = {
    session_key = { description = "Signs sessions", value_version = 1, recovery_window_days = 0 }
    smtp        = { description = "Password of the mail server, filled by hand", recovery_window_days = 0 }
  }

  values = var.session_key == null ? {} : { session_key = var.session_key }

  readers = {
    api = ["session_key", "smtp"]
  }
}

output "arns" {
  description = "Secrets made."
  value       = module.secrets.arns
}
