# What the server stands in; a deployment takes it from the network and secrets modules.

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:An example; the network module keeps flow logs
  #checkov:skip=CKV2_AWS_12:An example; the network module locks the default security group
  cidr_block           = "10.43.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "this" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.43.0.0/24"
  availability_zone = "${var.region}a"
}

resource "aws_security_group" "consumer" {
  #checkov:skip=CKV2_AWS_5:Stands for the security group of the service that connects
  name        = "example-dev-consumer"
  description = "Consumer"
  vpc_id      = aws_vpc.this.id
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV_AWS_149:An example; the secrets module has its own key
  #checkov:skip=CKV2_AWS_57:The password is changed by who changes the secret, and read at the next boot
  name                    = "example-dev/timescale"
  recovery_window_in_days = 0
}
