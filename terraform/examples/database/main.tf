provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the database in."
  type        = string
  default     = "us-east-1"
}

variable "password" {
  description = "Master password: TF_VAR_password='…'."
  type        = string
  ephemeral   = true
  sensitive   = true
}

module "database" {
  source = "../../modules/database"

  name              = "example-dev"
  region            = var.region
  vpc_id            = aws_vpc.this.id
  subnet_group_name = aws_db_subnet_group.this.name

  allowed_security_group_ids = { api = aws_security_group.api.id }

  password         = var.password
  password_version = 1

  replicas = { reports = {} }

  # An example is destroyed again; leave these four out for data that matters.
  production          = false
  deletion_protection = false
  skip_final_snapshot = true
  apply_immediately   = true
}

output "endpoint" {
  value = module.database.endpoint
}
