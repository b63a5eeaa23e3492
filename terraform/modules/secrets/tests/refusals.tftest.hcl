# What is refused, before anything is made.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = {
      arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/mock-AbCdEf"
      id  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/mock-AbCdEf"
    }
  }
}

variables {
  name   = "acme-staging"
  region = "eu-west-1"
  secrets = {
    session_key = { description = "Signs sessions", value_version = 1 }
    smtp        = { description = "Password of the mail server" }
  }
}

run "a_name_that_begins_with_a_digit" {
  command = plan

  variables {
    name = "1acme"
  }

  expect_failures = [var.name]
}

run "a_secret_with_capitals" {
  command = plan

  variables {
    secrets = { SMTP = { description = "d" } }
  }

  expect_failures = [var.secrets]
}

run "a_secret_that_looks_like_an_arn" {
  command = plan

  variables {
    secrets = { smtp-abc123 = { description = "d" } }
  }

  expect_failures = [var.secrets]
}

run "a_recovery_window_of_six_days" {
  command = plan

  variables {
    secrets = { smtp = { description = "d", recovery_window_days = 6 } }
  }

  expect_failures = [var.secrets]
}

run "a_recovery_window_beyond_thirty_days" {
  command = plan

  variables {
    secrets = { smtp = { description = "d", recovery_window_days = 31 } }
  }

  expect_failures = [var.secrets]
}

run "a_version_of_nought" {
  command = plan

  variables {
    secrets = { smtp = { description = "d", value_version = 0 } }
  }

  expect_failures = [var.secrets]
}

run "a_part_of_a_version" {
  command = plan

  variables {
    secrets = { smtp = { description = "d", value_version = 1.5 } }
  }

  expect_failures = [var.secrets]
}

run "an_alias_instead_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "alias/secrets"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_reader_of_nothing" {
  command = plan

  variables {
    readers = { api = [] }
  }

  expect_failures = [var.readers]
}

run "a_reader_of_an_unknown_secret" {
  command = plan

  variables {
    readers = { api = ["smpt"] }
  }

  expect_failures = [var.readers]
}

run "a_value_of_an_unknown_secret" {
  command = plan

  variables {
    values = { sesion_key = "value" }
  }

  expect_failures = [var.values]
}

run "a_value_of_a_secret_without_a_version" {
  command = plan

  variables {
    values = { smtp = "value" }
  }

  expect_failures = [var.values]
}

run "an_empty_value" {
  command = plan

  variables {
    values = { session_key = "" }
  }

  expect_failures = [var.values]
}

run "no_secrets" {
  command = plan

  variables {
    secrets = {}
  }

  expect_failures = [var.secrets]
}
