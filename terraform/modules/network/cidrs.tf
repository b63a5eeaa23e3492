# Address arithmetic: the block of every subnet, and what is wrong with those that cannot be.
#
# Half of the VPC is the private tier, a sixteenth of the whole per zone; a quarter each is kept for the public and the
# database tier, of which a zone takes a 256th of the whole. A /16 gives 10.0.0.0/20, 10.0.128.0/24 and 10.0.192.0/24.

locals {
  tiers = {
    private  = { newbits = 4, first = 0, ipv6_first = 0 }
    public   = { newbits = 8, first = 128, ipv6_first = 64 }
    database = { newbits = 8, first = 192, ipv6_first = 128 }
  }

  subnets = merge([
    for tier, plan in local.tiers : {
      for zone, place in var.zones : "${tier} ${zone}" =>
      place[tier] != null ? place[tier] : try(cidrsubnet(var.cidr_block, plan.newbits, plan.first + place.index), null)
    }
  ]...)
  subnet_names = sort(keys(local.subnets))

  # A computed block smaller than the /28 that AWS allows counts as none.
  blocks_missing = [
    for name in local.subnet_names : name
    if local.subnets[name] == null || (
      var.zones[split(" ", name)[1]][split(" ", name)[0]] == null && try(tonumber(split("/", local.subnets[name])[1]) > 28, true)
    )
  ]

  vpc_blocks = concat([var.cidr_block], sort(tolist(var.secondary_cidr_blocks)))

  # Inside: no larger than the VPC's block, and cut to that block's length it begins where the block begins.
  blocks_outside = [
    for name in local.subnet_names : "${name} (${local.subnets[name]})"
    if local.subnets[name] != null && !anytrue([
      for block in local.vpc_blocks : try(
        tonumber(split("/", local.subnets[name])[1]) >= tonumber(split("/", block)[1]) &&
        cidrhost("${split("/", local.subnets[name])[0]}/${split("/", block)[1]}", 0) == cidrhost(block, 0), true
      )
    ])
  ]

  # Two blocks overlap when, cut to the shorter of their two lengths, they begin at one address.
  blocks_overlapping = flatten([
    for position, name in local.subnet_names : [
      for other in slice(local.subnet_names, position + 1, length(local.subnet_names)) :
      "${name} (${local.subnets[name]}) and ${other} (${local.subnets[other]})"
      if try(
        cidrhost("${split("/", local.subnets[name])[0]}/${min(split("/", local.subnets[name])[1], split("/", local.subnets[other])[1])}", 0) ==
        cidrhost("${split("/", local.subnets[other])[0]}/${min(split("/", local.subnets[name])[1], split("/", local.subnets[other])[1])}", 0), false
      )
    ]
  ])

  vpc_blocks_overlapping = flatten([
    for position, block in local.vpc_blocks : [
      for other in slice(local.vpc_blocks, position + 1, length(local.vpc_blocks)) : "${block} and ${other}"
      if try(
        cidrhost("${split("/", block)[0]}/${min(split("/", block)[1], split("/", other)[1])}", 0) ==
        cidrhost("${split("/", other)[0]}/${min(split("/", block)[1], split("/", other)[1])}", 0), false
      )
    ]
  ])
}
