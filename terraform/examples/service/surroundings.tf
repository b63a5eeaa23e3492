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

resource "aws_security_group" "load_balancer" {
  name        = "example-service-alb"
  description = "Load balancer"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "database" {
  name        = "example-service-database"
  description = "Database"
  vpc_id      = aws_vpc.this.id
}

resource "aws_ecs_cluster" "this" {
  name = "example-service"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

# Plain HTTP inside the VPC keeps the example free of a certificate; the cluster module's listener is HTTPS.
resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:An example; the cluster module keeps access logs
  #checkov:skip=CKV_AWS_150:An example is destroyed again
  #checkov:skip=CKV2_AWS_20:An example without a certificate; the cluster module redirects to HTTPS
  name                       = "example-service"
  internal                   = true
  drop_invalid_header_fields = true
  security_groups            = [aws_security_group.load_balancer.id]
  subnets                    = [for subnet in aws_subnet.this : subnet.id]
}

resource "aws_lb_listener" "this" {
  #checkov:skip=CKV_AWS_2:An example without a certificate; the cluster module's listener is HTTPS
  #checkov:skip=CKV_AWS_103:An example without a certificate; the cluster module's listener is HTTPS
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
}

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:An example; the registry module has its own key
  name                 = "example"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = true

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
