provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the network in."
  type        = string
  default     = "us-east-1"
}

module "network" {
  source = "../../modules/network"

  name       = "example-network"
  region     = var.region
  cidr_block = "10.20.0.0/16"
  nat        = "single"

  zones = {
    "${var.region}a" = { index = 0 }
    "${var.region}b" = { index = 1 }
  }

  interface_endpoints = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
}

output "vpc_id" {
  description = "The VPC made."
  value       = module.network.vpc_id
}

output "private_subnet_ids" {
  description = "Where tasks run."
  value       = module.network.private_subnet_ids
}
