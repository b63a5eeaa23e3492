# What AWS makes with every VPC, taken over so that nothing rests on it by accident.

# Without rules: who forgets to name a security group reaches nothing and is reached by nothing.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-default-locked" })
}

# Without routes: a subnet that is not put in a route table has no way out.
resource "aws_default_route_table" "this" {
  default_route_table_id = aws_vpc.this.default_route_table_id
  route                  = []
  tags                   = merge(var.tags, { Name = "${var.name}-default-empty" })
}

# Open on purpose and written out: access lists keep no state, so filtering is left to the security groups, which do.
resource "aws_default_network_acl" "this" {
  default_network_acl_id = aws_vpc.this.default_network_acl_id
  tags                   = merge(var.tags, { Name = "${var.name}-default" })

  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }

  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }

  dynamic "ingress" {
    for_each = var.ipv6_enabled ? [101] : []

    content {
      rule_no         = ingress.value
      action          = "allow"
      protocol        = "-1"
      ipv6_cidr_block = "::/0"
      from_port       = 0
      to_port         = 0
    }
  }

  dynamic "egress" {
    for_each = var.ipv6_enabled ? [101] : []

    content {
      rule_no         = egress.value
      action          = "allow"
      protocol        = "-1"
      ipv6_cidr_block = "::/0"
      from_port       = 0
      to_port         = 0
    }
  }

  # Every subnet without a list of its own falls under this one.
  lifecycle {
    ignore_changes = [subnet_ids]
  }
}
