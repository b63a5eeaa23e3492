# What the services stand on; a deployment takes it from the other modules.

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:An example; the network module keeps flow logs
  #checkov:skip=CKV2_AWS_12:An example; the network module closes the default security group
  cidr_block = "10.31.0.0/16"
}

resource "aws_subnet" "this" {
  for_each = { a = 0, b = 1 }

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  availability_zone = "${var.region}${each.key}"
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_security_group" "database" {
  name        = "example-service-database"
  description = "Database"
  vpc_id      = aws_vpc.this.id
}

module "cluster" {
  source = "../../modules/cluster"

  name                = "example-service"
  region              = var.region
  vpc_id              = aws_vpc.this.id
  public_subnet_ids   = [for subnet in aws_subnet.this : subnet.id]
  deletion_protection = false # It is an example; a load balancer in use should refuse.

  dns = {
    zone_id     = aws_route53_zone.this.zone_id
    domain_name = "api.${var.domain_name}"
  }
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:An example's zone; a real one exists before the cluster does
  #checkov:skip=CKV2_AWS_39:An example's zone; a real one exists before the cluster does
  name = var.domain_name
}

resource "aws_ecr_repository" "this" {
  name                 = "example"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = true

  encryption_configuration {
    encryption_type = "KMS"
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_sqs_queue" "this" {
  name                    = "example-jobs"
  sqs_managed_sse_enabled = true
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV_AWS_149:An example; the secrets module has its own key
  #checkov:skip=CKV2_AWS_57:A connection URL is rotated by who rotates the database login
  for_each = toset(["runtime", "owner"])

  name                    = "example-service/${each.key}"
  recovery_window_in_days = 0
}
