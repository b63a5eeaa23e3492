# The one thing the internet reaches. What no service claims by a listener rule is a 404.

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_150:Deletion protection is on unless the caller names the opposite
  #checkov:skip=CKV2_AWS_76:The web ACL has AWSManagedRulesKnownBadInputsRuleSet, in a dynamic block that the check cannot read
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  ip_address_type    = var.ipv6_enabled ? "dualstack" : "ipv4"
  subnets            = var.public_subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]
  idle_timeout       = var.idle_timeout
  tags               = var.tags

  desync_mitigation_mode     = "strictest"
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    bucket  = aws_s3_bucket.access_logs.id
    enabled = true
  }

  # The load balancer tries its log bucket when it is made.
  depends_on = [aws_s3_bucket_policy.access_logs]
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"
  tags              = var.tags

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = var.ssl_policy
  certificate_arn   = local.certificate_arn
  tags              = var.tags

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "application/json"
      message_body = jsonencode({ type = "about:blank", title = "Not Found", status = 404 })
      status_code  = "404"
    }
  }
}

locals {
  # Who asks for the AAAA record must get an answer.
  everybody           = var.ipv6_enabled ? { everybody = "0.0.0.0/0", everybody-ipv6 = "::/0" } : { everybody = "0.0.0.0/0" }
  ingress_cidr_blocks = var.ingress_cidr_blocks != null ? var.ingress_cidr_blocks : tomap(local.everybody)
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-alb"
  description = "Load balancer: HTTP and HTTPS in; out only to the services that ask for it"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-alb" })
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  #checkov:skip=CKV_AWS_260:Port 80 only redirects to HTTPS
  for_each = merge([
    for name, block in local.ingress_cidr_blocks : {
      "${name}-http"  = { port = 80, block = block }
      "${name}-https" = { port = 443, block = block }
    }
  ]...)

  security_group_id = aws_security_group.load_balancer.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = strcontains(each.value.block, ":") ? null : each.value.block
  cidr_ipv6         = strcontains(each.value.block, ":") ? each.value.block : null
  tags              = var.tags
}
