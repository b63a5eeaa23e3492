resource "aws_lb_listener" "good_redirect" {
  load_balancer_arn = aws_lb.good.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "good" {
  load_balancer_arn = aws_lb.good.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/1"
  }
}

# caught by tls
resource "aws_lb_listener" "bad_plain" {
  load_balancer_arn = aws_lb.good.arn
  port              = 8080
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/1"
  }
}

# caught by tls
resource "aws_lb_listener" "bad_old" {
  load_balancer_arn = aws_lb.good.arn
  port              = 8443
  protocol          = "HTTPS"
  certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-0-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/1"
  }
}

# caught by tls, unprotected
resource "aws_elasticache_replication_group" "bad_wire" {
  replication_group_id       = "bad-wire"
  description                = "Encrypted on its disks only"
  at_rest_encryption_enabled = true
}

# caught by tls, unprotected
resource "aws_elasticache_replication_group" "bad_preferred" {
  replication_group_id       = "bad-preferred"
  description                = "Clear text is let in too"
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "preferred"
}

# caught by tls
resource "aws_db_parameter_group" "bad" {
  family = "postgres18"
}

resource "aws_db_parameter_group" "good" {
  family = "postgres18"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}
