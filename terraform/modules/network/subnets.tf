# Subnets of the three tiers, one per zone, and the database tier's group.

locals {
  ipv6_subnets = {
    for name in local.subnet_names : name => var.ipv6_enabled ? cidrsubnet(
      aws_vpc.this.ipv6_cidr_block, 8, local.tiers[split(" ", name)[0]].ipv6_first + var.zones[split(" ", name)[1]].index
    ) : null
  }
}

resource "aws_subnet" "public" {
  for_each = var.zones

  vpc_id                          = aws_vpc.this.id
  availability_zone               = each.key
  cidr_block                      = local.subnets["public ${each.key}"]
  ipv6_cidr_block                 = local.ipv6_subnets["public ${each.key}"]
  assign_ipv6_address_on_creation = var.ipv6_enabled
  map_public_ip_on_launch         = false
  tags                            = merge(var.tags, { Name = "${var.name}-public-${each.key}", Tier = "public" })

  depends_on = [aws_vpc_ipv4_cidr_block_association.secondary]
}

resource "aws_subnet" "private" {
  for_each = var.zones

  vpc_id                          = aws_vpc.this.id
  availability_zone               = each.key
  cidr_block                      = local.subnets["private ${each.key}"]
  ipv6_cidr_block                 = local.ipv6_subnets["private ${each.key}"]
  assign_ipv6_address_on_creation = var.ipv6_enabled
  tags                            = merge(var.tags, { Name = "${var.name}-private-${each.key}", Tier = "private" })

  depends_on = [aws_vpc_ipv4_cidr_block_association.secondary]
}

resource "aws_subnet" "database" {
  for_each = var.zones

  vpc_id                          = aws_vpc.this.id
  availability_zone               = each.key
  cidr_block                      = local.subnets["database ${each.key}"]
  ipv6_cidr_block                 = local.ipv6_subnets["database ${each.key}"]
  assign_ipv6_address_on_creation = var.ipv6_enabled
  tags                            = merge(var.tags, { Name = "${var.name}-database-${each.key}", Tier = "database" })

  depends_on = [aws_vpc_ipv4_cidr_block_association.secondary]
}

resource "aws_db_subnet_group" "this" {
  name        = "${var.name}-database"
  description = "Database subnets of ${var.name}"
  subnet_ids  = [for subnet in aws_subnet.database : subnet.id]
  tags        = var.tags
}
