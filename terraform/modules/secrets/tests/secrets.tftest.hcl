# What is made, and what each option changes.

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

run "the_defaults_are_safe" {
  command = apply

  variables {
    values = { session_key = "a value nobody may see" }
  }

  assert {
    condition     = aws_secretsmanager_secret.this["smtp"].name == "acme-staging/smtp" && aws_secretsmanager_secret.this["smtp"].recovery_window_in_days == 30
    error_message = "a secret that is deleted can be had back for thirty days"
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == aws_kms_key.this[0].arn]) && aws_kms_key.this[0].enable_key_rotation
    error_message = "secrets are encrypted with the module's own key, which is rotated"
  }

  assert {
    condition = alltrue([
      for policy in aws_secretsmanager_secret_policy.this : policy.block_public_policy &&
      jsondecode(policy.policy).Statement == [{ Sid = "OnlyTls", Effect = "Deny", Principal = "*", Action = "secretsmanager:*", Resource = "*", Condition = { Bool = { "aws:SecureTransport" = "false" } } }]
    ])
    error_message = "every secret refuses whoever comes without TLS"
  }

  assert {
    condition     = length(aws_secretsmanager_secret_policy.this) == 2 && join(" ", keys(output.arns)) == "session_key smtp" && length(output.read_policies) == 0
    error_message = "every secret has its policy and its output, and no reader is let in unasked"
  }
}

run "a_value_is_written_and_not_kept" {
  command = apply

  variables {
    values = { session_key = "a value nobody may see" }
  }

  assert {
    condition     = join(" ", keys(aws_secretsmanager_secret_version.this)) == "session_key" && aws_secretsmanager_secret_version.this["session_key"].secret_string_wo_version == 1
    error_message = "only the secret with a version is written"
  }

  assert {
    condition     = !strcontains(jsonencode([aws_secretsmanager_secret_version.this["session_key"].secret_string, aws_secretsmanager_secret_version.this["session_key"].secret_string_wo]), "nobody")
    error_message = "the value must not be kept"
  }
}

run "the_value_is_needed_only_when_it_is_new" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret_version.this["session_key"].secret_string_wo_version == 1
    error_message = "a plan without values must be possible"
  }
}

run "a_raised_version_writes_again" {
  command = plan

  variables {
    secrets = { session_key = { description = "Signs sessions", value_version = 2 } }
    values  = { session_key = "another value" }
  }

  assert {
    condition     = aws_secretsmanager_secret_version.this["session_key"].secret_string_wo_version == 2
    error_message = "the version follows the caller"
  }
}

run "a_reader_reads_its_secrets_only" {
  command = apply

  variables {
    readers = { api = ["smtp"] }
    values  = {}
  }

  assert {
    condition = { for statement in jsondecode(output.read_policies.api).Statement : statement.Sid => statement.Resource } == {
      Read    = [aws_secretsmanager_secret.this["smtp"].arn]
      Decrypt = aws_kms_key.this[0].arn
    }
    error_message = "the reader is given the secret named and its key"
  }

  assert {
    condition = jsondecode(output.read_policies.api).Statement[1].Condition.StringEquals == {
      "kms:EncryptionContext:SecretARN" = [aws_secretsmanager_secret.this["smtp"].arn]
      "kms:ViaService"                  = "secretsmanager.eu-west-1.amazonaws.com"
    }
    error_message = "the key opens only that secret, and only through Secrets Manager"
  }
}

run "options_change_what_they_name" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/given"
    secrets = {
      now  = { description = "Gone at once", recovery_window_days = 0 }
      week = { description = "Gone in a week", recovery_window_days = 7 }
    }
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_secretsmanager_secret.this["now"].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/given"
    error_message = "a given key is used, and none made"
  }

  assert {
    condition     = aws_secretsmanager_secret.this["now"].recovery_window_in_days == 0 && aws_secretsmanager_secret.this["week"].recovery_window_in_days == 7
    error_message = "recovery windows are the caller's"
  }
}
