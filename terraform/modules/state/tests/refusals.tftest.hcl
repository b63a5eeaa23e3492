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

  mock_resource "aws_s3_bucket" {
    defaults = {
      arn = "arn:aws:s3:::acme-terraform-state-123456789012"
      id  = "acme-terraform-state-123456789012"
    }
  }
}

variables {
  name   = "acme"
  region = "eu-west-1"
}

run "a_name_with_an_underscore" {
  command = plan

  variables {
    name = "acme_staging"
  }

  expect_failures = [var.name]
}

run "a_prefix_without_a_slash" {
  command = plan

  variables {
    access_prefixes = ["staging"]
  }

  expect_failures = [var.access_prefixes]
}

run "a_prefix_that_reaches_everything" {
  command = plan

  variables {
    access_prefixes = ["*/"]
  }

  expect_failures = [var.access_prefixes]
}

run "an_empty_prefix" {
  command = plan

  variables {
    access_prefixes = [""]
  }

  expect_failures = [var.access_prefixes]
}

run "an_alias_instead_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "alias/state"
  }

  expect_failures = [var.kms_key_arn]
}

run "earlier_versions_kept_for_no_time" {
  command = plan

  variables {
    noncurrent_versions = { days = 0 }
  }

  expect_failures = [var.noncurrent_versions]
}

run "a_part_of_a_day" {
  command = plan

  variables {
    noncurrent_versions = { days = 1.5 }
  }

  expect_failures = [var.noncurrent_versions]
}

run "no_earlier_version" {
  command = plan

  variables {
    noncurrent_versions = { keep = 0 }
  }

  expect_failures = [var.noncurrent_versions]
}

run "more_versions_than_s3_counts" {
  command = plan

  variables {
    noncurrent_versions = { keep = 101 }
  }

  expect_failures = [var.noncurrent_versions]
}
