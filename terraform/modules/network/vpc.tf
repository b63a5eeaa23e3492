# The VPC and its gateway to the internet.

resource "aws_vpc" "this" {
  cidr_block                       = var.cidr_block
  assign_generated_ipv6_cidr_block = var.ipv6_enabled
  enable_dns_hostnames             = true
  enable_dns_support               = true
  tags                             = merge(var.tags, { Name = var.name })

  lifecycle {
    precondition {
      condition     = length(local.vpc_blocks_overlapping) == 0
      error_message = "The blocks of a VPC must lie apart: ${join("; ", local.vpc_blocks_overlapping)} overlap. Change cidr_block or secondary_cidr_blocks."
    }

    precondition {
      condition     = length(local.blocks_missing) == 0
      error_message = "No block can be computed for ${join(", ", local.blocks_missing)}, since cidr_block is smaller than /20: give them in zones."
    }

    precondition {
      condition     = length(local.blocks_outside) == 0
      error_message = "Subnets outside the VPC: ${join(", ", local.blocks_outside)}. In zones, take blocks within cidr_block or secondary_cidr_blocks."
    }

    precondition {
      condition     = length(local.blocks_overlapping) == 0
      error_message = "Subnets must lie apart: ${join("; ", local.blocks_overlapping)} overlap. Change their blocks in zones."
    }
  }
}

resource "aws_vpc_ipv4_cidr_block_association" "secondary" {
  for_each = var.secondary_cidr_blocks

  vpc_id     = aws_vpc.this.id
  cidr_block = each.value
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_egress_only_internet_gateway" "this" {
  count = var.ipv6_enabled ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}
