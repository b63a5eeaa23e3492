# What is refused, before anything is made.

mock_provider "aws" {
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/acme-staging-mock" }
  }
}

variables {
  name = "acme-staging"
  roles = {
    deploy = { subjects = ["repo:acme@12/api@34:environment:staging"] }
  }
}

run "a_name_that_ends_in_a_hyphen" {
  command = plan

  variables {
    name = "acme-"
  }

  expect_failures = [var.name]
}

run "a_role_name_that_is_too_long" {
  command = plan

  variables {
    roles = { a2345678901234567890123456789012 = { subjects = ["repo:acme/api:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "no_subject" {
  command = plan

  variables {
    roles = { deploy = { subjects = [] } }
  }

  expect_failures = [var.roles]
}

run "no_subject_beside_one_that_has" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"] }, plan = { subjects = [] } }
  }

  expect_failures = [var.roles]
}

run "every_subject" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["*"] } }
  }

  expect_failures = [var.roles]
}

run "every_repository" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:*"] } }
  }

  expect_failures = [var.roles]
}

run "every_repository_of_an_owner" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/*:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "owners_that_begin_alike" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme*/api:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "every_claim_of_a_repository" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:*"] } }
  }

  expect_failures = [var.roles]
}

run "environments_that_begin_alike" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:prod*"] } }
  }

  expect_failures = [var.roles]
}

run "a_letter_left_open" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/ap?:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "a_variable_of_policies" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:$${aws:username}"] } }
  }

  expect_failures = [var.roles]
}

run "a_repository_without_a_claim" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api"] } }
  }

  expect_failures = [var.roles]
}

run "a_repository_with_an_empty_claim" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:"] } }
  }

  expect_failures = [var.roles]
}

run "an_environment_without_a_name" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:"] } }
  }

  expect_failures = [var.roles]
}

run "an_unknown_claim" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:anything"] } }
  }

  expect_failures = [var.roles]
}

run "an_owner_without_a_repository" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "an_id_for_the_owner_only" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme@12/api:environment:staging"] } }
  }

  expect_failures = [var.roles]
}

run "a_session_below_an_hour" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], max_session_duration = 900 } }
  }

  expect_failures = [var.roles]
}

run "a_session_beyond_twelve_hours" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], max_session_duration = 43201 } }
  }

  expect_failures = [var.roles]
}

run "a_managed_policy_by_name" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], managed_policy_arns = ["ReadOnlyAccess"] } }
  }

  expect_failures = [var.roles]
}

run "a_boundary_by_name" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], permissions_boundary = "boundary" } }
  }

  expect_failures = [var.roles]
}

run "administration_without_a_boundary" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], managed_policy_arns = ["arn:aws:iam::aws:policy/AdministratorAccess"] } }
  }

  expect_failures = [var.roles]
}

run "power_without_a_boundary" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], managed_policy_arns = ["arn:aws:iam::aws:policy/PowerUserAccess"] } }
  }

  expect_failures = [var.roles]
}

run "a_policy_that_is_no_json" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], policies = { all = "everything" } } }
  }

  expect_failures = [var.roles]
}

run "a_policy_that_allows_everything" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], policies = { all = jsonencode({ Statement = [{ Effect = "Allow", Action = ["s3:GetObject", "*"], Resource = "*" }] }) } } }
  }

  expect_failures = [var.roles]
}

run "a_single_statement_that_allows_everything" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], policies = { all = jsonencode({ Statement = { Effect = "Allow", Action = "*", Resource = ["*"] } }) } } }
  }

  expect_failures = [var.roles]
}

run "a_provider_that_is_not_githubs" {
  command = plan

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.example.com"
  }

  expect_failures = [var.provider_arn]
}

run "a_statement_that_allows_all_of_a_service" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], policies = { all = jsonencode({ Statement = [{ Effect = "Allow", Action = ["s3:GetObject", "iam:*"], Resource = "*" }] }) } } }
  }

  expect_failures = [var.roles]
}

run "no_roles" {
  command = plan

  variables {
    roles = {}
  }

  expect_failures = [var.roles]
}

run "a_boundary_that_bounds_nothing" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:environment:staging"], managed_policy_arns = ["arn:aws:iam::aws:policy/AdministratorAccess"], permissions_boundary = "arn:aws:iam::aws:policy/AdministratorAccess" } }
  }

  expect_failures = [var.roles]
}
