# What the cluster stands on; a deployment takes it from the network module.

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:An example; the network module keeps flow logs
  #checkov:skip=CKV2_AWS_12:An example; the network module closes the default security group
  cidr_block = "10.30.0.0/16"
}

resource "aws_subnet" "public" {
  for_each = { a = 0, b = 1 }

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  availability_zone = "${var.region}${each.key}"
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:An example's zone; a real one exists before the cluster does
  #checkov:skip=CKV2_AWS_39:An example's zone; a real one exists before the cluster does
  name = var.domain_name
}
