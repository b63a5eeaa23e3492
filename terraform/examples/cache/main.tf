provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the cache in."
  type        = string
  default     = "us-east-1"
}

module "cache" {
  source = "../../modules/cache"

  name       = "example-dev"
  region     = var.region
  vpc_id     = aws_vpc.this.id
  subnet_ids = [for subnet in aws_subnet.this : subnet.id]

  allowed_security_group_ids = { api = aws_security_group.api.id }

  iam_users = { api = {} }

  # An example is destroyed again; leave these three out for data that matters.
  production          = false
  skip_final_snapshot = true
  apply_immediately   = true
}

output "endpoint" {
  value = module.cache.endpoint
}
