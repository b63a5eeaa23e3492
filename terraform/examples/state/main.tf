provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the bucket in."
  type        = string
  default     = "us-east-1"
}

module "state" {
  source = "../../modules/state"

  name            = "example"
  region          = var.region
  access_prefixes = ["staging/", "production/"]
  force_destroy   = true # It is an example; a bucket of states should refuse.
}

output "backend_config" {
  description = "Write it into a file: terraform output -raw backend_config > backend.hcl"
  value       = module.state.backend_config
}
