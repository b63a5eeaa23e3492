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

  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-west-1:123456789012:repository/acme"
      repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme"
    }
  }
}

variables {
  name = "acme"
}

run "a_name_with_capitals" {
  command = plan

  variables {
    name = "Acme"
  }

  expect_failures = [var.name]
}

run "a_name_with_two_hyphens_in_a_row" {
  command = plan

  variables {
    name = "acme--api"
  }

  expect_failures = [var.name]
}

run "an_alias_instead_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "alias/images"
  }

  expect_failures = [var.kms_key_arn]
}

run "everybody_as_an_account" {
  command = plan

  variables {
    pull_account_ids = ["*"]
  }

  expect_failures = [var.pull_account_ids]
}

run "an_account_with_a_digit_missing" {
  command = plan

  variables {
    pull_account_ids = ["12345678901"]
  }

  expect_failures = [var.pull_account_ids]
}

run "a_single_image_kept" {
  command = plan

  variables {
    retention = { images = 1 }
  }

  expect_failures = [var.retention]
}

run "a_part_of_an_image" {
  command = plan

  variables {
    retention = { images = 2.5 }
  }

  expect_failures = [var.retention]
}

run "untagged_images_kept_for_no_time" {
  command = plan

  variables {
    retention = { untagged_days = 0 }
  }

  expect_failures = [var.retention]
}
