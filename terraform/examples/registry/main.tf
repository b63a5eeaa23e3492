provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the repository in."
  type        = string
  default     = "us-east-1"
}

module "registry" {
  source = "../../modules/registry"

  name             = "example"
  pull_account_ids = ["210987654321"]
  retention        = { images = 50 }
}

output "repository_url" {
  description = "Where images are pushed to."
  value       = module.registry.repository_url
}
