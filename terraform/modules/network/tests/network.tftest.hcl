# What is made, and what each option changes.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2600:1f18:1234:5600::/56" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/vpc/acme-staging/flow-logs" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/acme-staging-flow-logs" }
  }
}

variables {
  name       = "acme-staging"
  region     = "eu-west-1"
  cidr_block = "10.0.0.0/16"
  zones = {
    eu-west-1a = { index = 0 }
    eu-west-1b = { index = 1 }
  }
}

run "blocks_are_computed_from_the_vpc" {
  command = plan

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { eu-west-1a = "10.0.0.0/20", eu-west-1b = "10.0.16.0/20" }
    error_message = "a private subnet takes a sixteenth of the VPC"
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.public : zone => subnet.cidr_block } == { eu-west-1a = "10.0.128.0/24", eu-west-1b = "10.0.129.0/24" }
    error_message = "public subnets lie in the third quarter"
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.database : zone => subnet.cidr_block } == { eu-west-1a = "10.0.192.0/24", eu-west-1b = "10.0.193.0/24" }
    error_message = "database subnets lie in the last quarter"
  }

  assert {
    condition     = alltrue([for zone, subnet in aws_subnet.public : subnet.availability_zone == zone && !subnet.map_public_ip_on_launch])
    error_message = "each subnet stands in its zone and gives no public address unasked"
  }
}

run "eight_zones_fit_into_the_smallest_computed_vpc" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/20"
    zones      = { for index, letter in ["a", "b", "c", "d", "e", "f", "g", "h"] : "eu-west-1${letter}" => { index = index } }
  }

  assert {
    condition     = aws_subnet.database["eu-west-1h"].cidr_block == "10.0.12.112/28" && aws_subnet.private["eu-west-1h"].cidr_block == "10.0.7.0/24"
    error_message = "the last zone must still have its own blocks"
  }
}

run "a_zone_that_goes_moves_no_other" {
  command = plan

  variables {
    zones = { eu-west-1b = { index = 1 }, eu-west-1c = { index = 2 } }
  }

  assert {
    condition     = aws_subnet.private["eu-west-1b"].cidr_block == "10.0.16.0/20"
    error_message = "eu-west-1b keeps the block it has beside eu-west-1a"
  }
}

run "given_blocks_take_the_place_of_computed_ones" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.64.0.0/16"]
    zones = {
      eu-west-1a = { index = 0, private = "100.64.0.0/17", database = "10.0.255.0/28" }
      eu-west-1b = { index = 1, private = "100.64.128.0/17" }
    }
  }

  assert {
    condition     = aws_subnet.private["eu-west-1a"].cidr_block == "100.64.0.0/17" && aws_subnet.database["eu-west-1a"].cidr_block == "10.0.255.0/28"
    error_message = "given blocks must be used, also in a secondary block of the VPC"
  }

  assert {
    condition     = aws_subnet.public["eu-west-1a"].cidr_block == "10.0.128.0/24" && keys(aws_vpc_ipv4_cidr_block_association.secondary) == ["100.64.0.0/16"]
    error_message = "the other tiers are computed, and the VPC takes the secondary block"
  }
}

run "a_small_vpc_takes_given_blocks" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/24"
    zones = {
      eu-west-1a = { index = 0, private = "10.0.0.0/26", public = "10.0.0.128/28", database = "10.0.0.160/28" }
      eu-west-1b = { index = 1, private = "10.0.0.64/26", public = "10.0.0.144/28", database = "10.0.0.176/28" }
    }
  }

  assert {
    condition     = length(aws_subnet.database) == 2
    error_message = "blocks that only touch do not overlap"
  }
}

run "the_defaults_are_safe" {
  command = apply

  assert {
    condition     = length(coalesce(aws_default_security_group.this.ingress, [])) == 0 && length(coalesce(aws_default_security_group.this.egress, [])) == 0
    error_message = "the default security group must have no rules"
  }

  assert {
    condition     = length(aws_default_route_table.this.route) == 0
    error_message = "the default route table must have no routes"
  }

  assert {
    condition     = [for route in concat([aws_route.public], values(aws_route.private)) : route.route_table_id == aws_route_table.database.id] == [false, false, false]
    error_message = "the database tier must have no route to the internet"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2 && aws_route.private["eu-west-1b"].nat_gateway_id == aws_nat_gateway.this["eu-west-1b"].id
    error_message = "each zone leaves through its own gateway"
  }

  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL" && aws_cloudwatch_log_group.flow_logs[0].kms_key_id == aws_kms_key.this[0].arn
    error_message = "all traffic is logged, encrypted with the module's key"
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow_logs[0].retention_in_days == 90 && aws_kms_key.this[0].enable_key_rotation
    error_message = "logs are kept for 90 days and their key is rotated"
  }

  assert {
    condition     = toset(aws_vpc_endpoint.s3.route_table_ids) == toset(concat(values(output.private_route_table_ids), [output.database_route_table_id]))
    error_message = "S3 is reached from the private and the database tier without the internet"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement :
      statement.Action == "s3:GetObject" || try(statement.Condition.StringEquals["aws:PrincipalAccount"], "") == "123456789012"
    ])
    error_message = "the S3 endpoint must serve nobody else's credentials"
  }

  assert {
    condition = flatten([for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : statement.Resource if statement.Sid == "AwsBuckets"]) == [
      "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*", "arn:aws:s3:::amazon-ssm-eu-west-1/*",
    ]
    error_message = "of AWS's own buckets, those with image layers and Systems Manager's agent are open, and no others"
  }

  assert {
    condition     = length(aws_egress_only_internet_gateway.this) == 0 && output.vpc_ipv6_cidr_block == null
    error_message = "IPv6 is off unless asked for"
  }

  assert {
    condition     = length(aws_security_group.endpoints) == 0 && output.interface_endpoint_security_group_id == null
    error_message = "without interface endpoints there is no security group for them"
  }

  assert {
    condition     = toset(aws_db_subnet_group.this.subnet_ids) == toset(output.database_subnet_ids) && output.database_subnet_group_name == "acme-staging-database"
    error_message = "the subnet group holds the database subnets"
  }

  assert {
    condition     = output.zones == tolist(["eu-west-1a", "eu-west-1b"]) && output.flow_log_group_name == "/vpc/acme-staging/flow-logs"
    error_message = "the outputs name the zones and the log group"
  }
}

run "one_gateway_serves_all_zones" {
  command = apply

  variables {
    nat   = "single"
    zones = { eu-west-1a = { index = 2 }, eu-west-1b = { index = 1 } }
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-west-1b"] && keys(output.nat_public_ips) == ["eu-west-1b"]
    error_message = "the gateway stands in the zone with the lowest index"
  }

  assert {
    condition     = alltrue([for route in aws_route.private : route.nat_gateway_id == aws_nat_gateway.this["eu-west-1b"].id])
    error_message = "every private route leaves through it"
  }
}

run "without_nat_private_subnets_have_no_way_out" {
  command = plan

  variables {
    nat = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_eip.nat) == 0 && length(aws_route.private) == 0
    error_message = "nat = none must leave neither gateway nor route"
  }
}

run "endpoints_answer_the_vpc_only" {
  command = apply

  variables {
    interface_endpoints   = ["ecr.api", "logs", "ssmmessages"]
    secondary_cidr_blocks = ["100.64.0.0/16"]
  }

  assert {
    condition     = aws_vpc_endpoint.interface["ecr.api"].service_name == "com.amazonaws.eu-west-1.ecr.api" && aws_vpc_endpoint.interface["ecr.api"].private_dns_enabled
    error_message = "an endpoint takes over its service's name"
  }

  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface :
      toset(endpoint.subnet_ids) == toset(output.private_subnet_ids) && toset(endpoint.security_group_ids) == toset([output.interface_endpoint_security_group_id])
    ])
    error_message = "endpoints stand in the private subnets behind their security group"
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.endpoints : "${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}"]) == toset(["10.0.0.0/16 443-443", "100.64.0.0/16 443-443"])
    error_message = "every block of the VPC, and nothing else, reaches them on 443"
  }

  assert {
    condition     = jsondecode(aws_vpc_endpoint.interface["ecr.api"].policy).Statement[0].Action == "ecr:*" && jsondecode(aws_vpc_endpoint.interface["logs"].policy).Statement[0].Condition.StringEquals["aws:PrincipalAccount"] == "123456789012"
    error_message = "an endpoint that takes a policy serves only the account's principals"
  }
}

run "ipv6_is_open_outward_only" {
  command = apply

  variables {
    ipv6_enabled = true
  }

  assert {
    condition     = aws_subnet.public["eu-west-1a"].ipv6_cidr_block == "2600:1f18:1234:5640::/64" && aws_subnet.private["eu-west-1b"].ipv6_cidr_block == "2600:1f18:1234:5601::/64" && aws_subnet.database["eu-west-1b"].ipv6_cidr_block == "2600:1f18:1234:5681::/64"
    error_message = "every subnet has a /64 of its own"
  }

  assert {
    condition     = alltrue([for route in aws_route.private_ipv6 : route.egress_only_gateway_id == aws_egress_only_internet_gateway.this[0].id && route.destination_ipv6_cidr_block == "::/0"])
    error_message = "private subnets leave through the egress-only gateway"
  }

  assert {
    condition     = aws_route.public_ipv6[0].gateway_id == aws_internet_gateway.this.id && !contains([for route in aws_route.private_ipv6 : route.route_table_id], aws_route_table.database.id)
    error_message = "public subnets use the internet gateway, database subnets neither"
  }

  assert {
    condition     = length(aws_default_network_acl.this.ingress) == 2 && output.vpc_ipv6_cidr_block == "2600:1f18:1234:5600::/56"
    error_message = "the access list knows IPv6 too"
  }
}

run "flow_logs_take_a_given_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/given"
    flow_logs   = { retention_days = 365, traffic_type = "REJECT" }
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_cloudwatch_log_group.flow_logs[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/given"
    error_message = "a given key is used, and none made"
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow_logs[0].retention_in_days == 365 && aws_flow_log.this[0].traffic_type == "REJECT"
    error_message = "retention and traffic are the caller's"
  }
}

run "flow_logs_can_be_left_out" {
  command = plan

  variables {
    flow_logs = { enabled = false }
  }

  assert {
    condition     = length(aws_flow_log.this) + length(aws_cloudwatch_log_group.flow_logs) + length(aws_iam_role.flow_logs) + length(aws_kms_key.this) == 0 && output.flow_log_group_name == null
    error_message = "flow_logs.enabled = false must make neither log, role nor key"
  }
}
