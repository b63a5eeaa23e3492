# How clients find and reach the server.

locals {
  zone_name   = var.zone_name != null ? var.zone_name : "${local.identifier}.internal"
  zone_id     = var.zone_id != null ? var.zone_id : one(aws_route53_zone.this[*].zone_id)
  record_name = var.zone_name != null ? "${local.identifier}.${local.zone_name}" : "db.${local.zone_name}"
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:A private zone cannot be signed
  #checkov:skip=CKV2_AWS_39:The zone answers inside the VPC only, where the resolver's query logs are the network's matter
  count = var.mode == "ec2" && var.zone_id == null ? 1 : 0

  name          = local.zone_name
  comment       = "TimescaleDB of ${var.name}"
  force_destroy = false
  tags          = var.tags

  vpc {
    vpc_id = var.vpc_id
  }
}

# Terraform makes and removes it; its address is the running instance's matter. Until the first boot it is one that
# leads nowhere (RFC 5737).
resource "aws_route53_record" "this" {
  #checkov:skip=CKV2_AWS_23:Its address is set by the instance
  count = local.server_count

  zone_id = local.zone_id
  name    = local.record_name
  type    = "A"
  ttl     = 10
  records = ["192.0.2.1"]

  lifecycle {
    ignore_changes = [records]
  }
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:The launch template attaches it
  count = local.server_count

  name        = local.identifier
  description = "TimescaleDB of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = local.identifier })
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.mode == "cloud" ? {} : var.allowed_security_group_ids

  security_group_id            = aws_security_group.this[0].id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = var.mode == "cloud" ? {} : var.egress_cidr_blocks

  security_group_id = aws_security_group.this[0].id
  description       = "HTTPS to ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}
