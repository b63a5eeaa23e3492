# The proxy stands between the same clients and the database; it may talk to nothing else.

resource "aws_security_group" "proxy" {
  #checkov:skip=CKV2_AWS_5:It is attached to the proxy, when there is one
  count = local.proxy_count

  name        = "${local.identifier}-proxy"
  description = "RDS Proxy of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${local.identifier}-proxy" })
}

resource "aws_vpc_security_group_ingress_rule" "proxy_security_group" {
  for_each = var.proxy == null ? {} : var.allowed_security_group_ids

  security_group_id            = aws_security_group.proxy[0].id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "proxy_cidr_block" {
  for_each = var.proxy == null ? {} : var.allowed_cidr_blocks

  security_group_id = aws_security_group.proxy[0].id
  description       = "PostgreSQL from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "proxy_to_database" {
  count = local.proxy_count

  security_group_id            = aws_security_group.proxy[0].id
  description                  = "PostgreSQL to the database"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "database_from_proxy" {
  count = local.proxy_count

  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from the proxy"
  referenced_security_group_id = aws_security_group.proxy[0].id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  tags                         = var.tags
}
