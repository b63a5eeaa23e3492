# NAT gateways: the private tier's way out over IPv4.

locals {
  # The zone with the lowest index, which does not change when a zone is added after it.
  first_zone = one([for zone, place in var.zones : zone if place.index == min(values(var.zones)[*].index...)])

  nat_zones = {
    none     = toset([])
    per_zone = toset(keys(var.zones))
    single   = toset([local.first_zone])
  }[var.nat]
}

resource "aws_eip" "nat" {
  for_each = local.nat_zones

  domain = "vpc"
  tags   = merge(var.tags, { Name = "${var.name}-nat-${each.key}" })

  # An address can be released only while the internet gateway stands.
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  for_each = local.nat_zones

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })

  depends_on = [aws_internet_gateway.this]
}
