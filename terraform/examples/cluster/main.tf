provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the cluster in."
  type        = string
  default     = "us-east-1"
}

variable "domain_name" {
  description = "Domain whose zone is made here; the API answers under `api.`."
  type        = string
  default     = "example.com"
}

module "cluster" {
  source = "../../modules/cluster"

  name                = "example-cluster"
  region              = var.region
  vpc_id              = aws_vpc.this.id
  public_subnet_ids   = [for subnet in aws_subnet.public : subnet.id]
  deletion_protection = false # It is an example; a load balancer in use should refuse.

  dns = {
    zone_id     = aws_route53_zone.this.zone_id
    domain_name = "api.${var.domain_name}"
  }

  default_capacity_provider_strategy = {
    FARGATE      = { weight = 1, base = 1 }
    FARGATE_SPOT = { weight = 3 }
  }
}

output "cluster_name" {
  value = module.cluster.cluster_name
}
