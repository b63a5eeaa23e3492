# What is refused, before anything is made.

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

run "a_name_with_capitals" {
  command = plan

  variables {
    name = "Acme"
  }

  expect_failures = [var.name]
}

run "a_name_that_is_too_long" {
  command = plan

  variables {
    name = "a23456789012345678901234567890123"
  }

  expect_failures = [var.name]
}

run "a_vpc_larger_than_16" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/15"
  }

  expect_failures = [var.cidr_block]
}

run "a_vpc_smaller_than_28" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/29"
    zones      = { eu-west-1a = { index = 0, private = "10.0.0.0/28", public = "10.0.0.0/28", database = "10.0.0.0/28" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [var.cidr_block]
}

run "a_vpc_that_begins_within_its_block" {
  command = plan

  variables {
    cidr_block = "10.0.1.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_vpc_of_ipv6" {
  command = plan

  variables {
    cidr_block = "fd00::/16"
  }

  expect_failures = [var.cidr_block]
}

run "one_zone" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0 } }
  }

  expect_failures = [var.zones]
}

run "a_zone_of_another_region" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0 }, us-east-1b = { index = 1 } }
  }

  expect_failures = [var.zones]
}

run "two_zones_at_one_index" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 1 }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [var.zones]
}

run "an_index_beyond_the_plan" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0 }, eu-west-1b = { index = 8 } }
  }

  expect_failures = [var.zones]
}

run "an_index_that_is_not_whole" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0 }, eu-west-1b = { index = 1.5 } }
  }

  expect_failures = [var.zones]
}

run "a_subnet_that_begins_within_its_block" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, private = "10.0.0.16/24" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [var.zones]
}

run "a_subnet_smaller_than_28" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, database = "10.0.255.0/29" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [var.zones]
}

run "a_subnet_that_is_no_block" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, public = "10.0.255.0" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [var.zones]
}

run "two_given_subnets_that_are_equal" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, public = "10.0.250.0/24" }, eu-west-1b = { index = 1, database = "10.0.250.0/24" } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_given_subnet_within_another" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, private = "10.0.224.0/20" }, eu-west-1b = { index = 1, public = "10.0.239.240/28" } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_given_subnet_around_a_computed_one" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, database = "10.0.128.0/18" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [aws_vpc.this]
}

run "overlap_in_a_secondary_block" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.64.0.0/16"]
    zones                 = { eu-west-1a = { index = 0, private = "100.64.0.0/17" }, eu-west-1b = { index = 1, private = "100.64.64.0/18" } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_subnet_outside_the_vpc" {
  command = plan

  variables {
    zones = { eu-west-1a = { index = 0, private = "10.1.0.0/20" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_subnet_larger_than_the_vpc" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/17"
    zones      = { eu-west-1a = { index = 0, private = "10.0.0.0/16" }, eu-west-1b = { index = 1 } }
  }

  expect_failures = [aws_vpc.this]
}

run "a_vpc_too_small_to_be_divided" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/21"
  }

  expect_failures = [aws_vpc.this]
}

run "a_vpc_of_28_without_given_subnets" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/28"
  }

  expect_failures = [aws_vpc.this]
}

run "a_secondary_block_within_the_vpc" {
  command = plan

  variables {
    secondary_cidr_blocks = ["10.0.200.0/24"]
  }

  expect_failures = [aws_vpc.this]
}

run "a_secondary_block_around_the_vpc" {
  command = plan

  variables {
    cidr_block            = "10.0.16.0/20"
    secondary_cidr_blocks = ["10.0.0.0/16"]
  }

  expect_failures = [aws_vpc.this]
}

run "two_secondary_blocks_that_overlap" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.64.0.0/16", "100.64.128.0/17"]
  }

  expect_failures = [aws_vpc.this]
}

run "a_secondary_block_that_begins_within_itself" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.64.1.0/16"]
  }

  expect_failures = [var.secondary_cidr_blocks]
}

run "five_secondary_blocks" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.64.0.0/16", "100.65.0.0/16", "100.66.0.0/16", "100.67.0.0/16", "100.68.0.0/16"]
  }

  expect_failures = [var.secondary_cidr_blocks]
}

run "an_unknown_nat" {
  command = plan

  variables {
    nat = "instance"
  }

  expect_failures = [var.nat]
}

run "an_endpoint_by_its_full_name" {
  command = plan

  variables {
    interface_endpoints = ["com.amazonaws.eu-west-1.logs"]
  }

  expect_failures = [var.interface_endpoints]
}

run "an_interface_endpoint_of_s3" {
  command = plan

  variables {
    interface_endpoints = ["s3"]
  }

  expect_failures = [var.interface_endpoints]
}

run "a_retention_that_does_not_exist" {
  command = plan

  variables {
    flow_logs = { retention_days = 100 }
  }

  expect_failures = [var.flow_logs]
}

run "an_unknown_kind_of_traffic" {
  command = plan

  variables {
    flow_logs = { traffic_type = "SOME" }
  }

  expect_failures = [var.flow_logs]
}

run "an_alias_instead_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/logs"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_loopback_vpc" {
  command = plan

  variables {
    cidr_block = "127.0.0.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_link_local_vpc" {
  command = plan

  variables {
    cidr_block = "169.254.0.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_multicast_vpc" {
  command = plan

  variables {
    cidr_block = "224.0.0.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_public_vpc" {
  command = plan

  variables {
    cidr_block = "8.8.0.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_vpc_beside_a_private_range" {
  command = plan

  variables {
    cidr_block = "172.32.0.0/16"
  }

  expect_failures = [var.cidr_block]
}

run "a_public_secondary_block" {
  command = plan

  variables {
    secondary_cidr_blocks = ["100.128.0.0/16"]
  }

  expect_failures = [var.secondary_cidr_blocks]
}
