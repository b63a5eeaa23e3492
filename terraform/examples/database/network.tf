# What the database stands in; a deployment takes it from the network module.

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:An example; the network module keeps flow logs
  #checkov:skip=CKV2_AWS_12:An example; the network module locks the default security group
  cidr_block = "10.41.0.0/16"
}

resource "aws_subnet" "this" {
  for_each = { a = 0, b = 1 }

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  availability_zone = "${var.region}${each.key}"
}

resource "aws_db_subnet_group" "this" {
  name        = "example-dev"
  description = "Private subnets of the example"
  subnet_ids  = [for subnet in aws_subnet.this : subnet.id]
}

resource "aws_security_group" "api" {
  #checkov:skip=CKV2_AWS_5:Stands for the security group of the service that connects
  name        = "example-dev-api"
  description = "API"
  vpc_id      = aws_vpc.this.id
}
