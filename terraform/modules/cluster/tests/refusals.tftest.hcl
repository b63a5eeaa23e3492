# Every input that must be refused.

mock_provider "aws" {}

variables {
  name              = "acme-staging"
  region            = "eu-west-1"
  vpc_id            = "vpc-1"
  public_subnet_ids = ["subnet-a", "subnet-b"]
  dns = {
    zone_id     = "Z1"
    domain_name = "api.example.com"
  }
}

run "refuses_a_name_with_capitals" {
  command = plan

  variables {
    name = "Acme"
  }

  expect_failures = [var.name]
}

run "refuses_a_name_too_long" {
  command = plan

  variables {
    name = "a23456789012345678901234567890123"
  }

  expect_failures = [var.name]
}

run "refuses_a_name_aws_keeps_for_itself" {
  command = plan

  variables {
    name = "internal-api"
  }

  expect_failures = [var.name]
}

run "refuses_one_subnet" {
  command = plan

  variables {
    public_subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.public_subnet_ids]
}

run "refuses_the_same_subnet_twice" {
  command = plan

  variables {
    public_subnet_ids = ["subnet-a", "subnet-a"]
  }

  expect_failures = [var.public_subnet_ids]
}

run "refuses_neither_certificate_nor_zone" {
  command = plan

  variables {
    dns = null
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_both_certificate_and_zone" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/given"
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_a_certificate_that_is_none" {
  command = plan

  variables {
    dns             = null
    certificate_arn = "arn:aws:iam::123456789012:server-certificate/old"
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_insights_disabled" {
  command = plan

  variables {
    container_insights = "disabled"
  }

  expect_failures = [var.container_insights]
}

run "refuses_an_unknown_capacity_provider" {
  command = plan

  variables {
    default_capacity_provider_strategy = { EC2 = { weight = 1 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_no_capacity_provider" {
  command = plan

  variables {
    default_capacity_provider_strategy = {}
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_two_bases" {
  command = plan

  variables {
    default_capacity_provider_strategy = { FARGATE = { weight = 1, base = 1 }, FARGATE_SPOT = { weight = 1, base = 1 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_no_weight" {
  command = plan

  variables {
    default_capacity_provider_strategy = { FARGATE = { weight = 0 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_an_idle_timeout_of_nothing" {
  command = plan

  variables {
    idle_timeout = 0
  }

  expect_failures = [var.idle_timeout]
}

run "refuses_an_address_without_a_mask" {
  command = plan

  variables {
    ingress_cidr_blocks = { office = "203.0.113.7" }
  }

  expect_failures = [var.ingress_cidr_blocks]
}

run "refuses_nobody_let_in" {
  command = plan

  variables {
    ingress_cidr_blocks = {}
  }

  expect_failures = [var.ingress_cidr_blocks]
}

run "refuses_logs_kept_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "refuses_access_logs_kept_no_day" {
  command = plan

  variables {
    access_logs = { retention_days = 0 }
  }

  expect_failures = [var.access_logs]
}

run "refuses_old_tls" {
  command = plan

  variables {
    ssl_policy = "ELBSecurityPolicy-TLS13-1-0-2021-06"
  }

  expect_failures = [var.ssl_policy]
}

run "refuses_a_rate_below_the_least" {
  command = plan

  variables {
    waf = { rate_limit = 5 }
  }

  expect_failures = [var.waf]
}

run "refuses_a_certificate_of_another_region" {
  command = plan

  variables {
    dns             = null
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/given"
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_access_logs_for_half_a_day" {
  command = plan

  variables {
    access_logs = { retention_days = 1.5 }
  }

  expect_failures = [var.access_logs]
}

run "refuses_half_a_weight" {
  command = plan

  variables {
    default_capacity_provider_strategy = { FARGATE = { weight = 0.5 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_a_weight_above_the_most" {
  command = plan

  variables {
    default_capacity_provider_strategy = { FARGATE = { weight = 1001 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_a_negative_base" {
  command = plan

  variables {
    default_capacity_provider_strategy = { FARGATE = { weight = 1, base = -1 } }
  }

  expect_failures = [var.default_capacity_provider_strategy]
}

run "refuses_a_domain_that_is_an_address" {
  command = plan

  variables {
    dns = { zone_id = "Z1", domain_name = "https://api.example.com" }
  }

  expect_failures = [var.dns]
}

run "refuses_a_domain_without_a_dot" {
  command = plan

  variables {
    dns = { zone_id = "Z1", domain_name = "api" }
  }

  expect_failures = [var.dns]
}

run "refuses_another_name_with_a_space" {
  command = plan

  variables {
    dns = { zone_id = "Z1", domain_name = "api.example.com", alternative_names = ["www example.com"] }
  }

  expect_failures = [var.dns]
}

run "refuses_a_domain_too_long_for_a_certificate" {
  command = plan

  variables {
    dns = { zone_id = "Z1", domain_name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com" }
  }

  expect_failures = [var.dns]
}
