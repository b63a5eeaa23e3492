provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to run the server in."
  type        = string
  default     = "us-east-1"
}

variable "ami_id" {
  description = "Image of Debian to start from; null for Debian's newest."
  type        = string
  default     = null
}

module "timescale" {
  source = "../../modules/timescale"

  mode      = "ec2"
  name      = "example-dev"
  region    = var.region
  ami_id    = var.ami_id
  vpc_id    = aws_vpc.this.id
  subnet_id = aws_subnet.this.id

  allowed_security_group_ids = { consumer = aws_security_group.consumer.id }

  secret_arn = aws_secretsmanager_secret.this.arn

  # An example is destroyed again; leave these two out for data that matters.
  production          = false
  skip_final_snapshot = true
}

output "endpoint" {
  value = module.timescale.endpoint
}
