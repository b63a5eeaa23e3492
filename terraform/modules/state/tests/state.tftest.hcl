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

run "the_defaults_are_safe" {
  command = apply

  assert {
    condition     = aws_s3_bucket.this.bucket == "acme-terraform-state-123456789012" && !aws_s3_bucket.this.force_destroy
    error_message = "the bucket carries name and account and refuses to be destroyed with states in it"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "earlier states must be kept"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "nothing in the bucket may be public"
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.this[0].arn && aws_kms_key.this[0].enable_key_rotation
    error_message = "states are encrypted with the module's own key, which is rotated"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny" && statement.Principal == "*"])
    error_message = "the bucket policy only denies; access is IAM's to give"
  }

  assert {
    condition = { for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Sid => jsonencode(statement.Condition) } == {
      OnlyTls        = jsonencode({ Bool = { "aws:SecureTransport" = "false" } })
      OnlyTls12      = jsonencode({ NumericLessThan = { "s3:TlsVersion" = "1.2" } })
      OnlyKms        = jsonencode({ Null = { "s3:x-amz-server-side-encryption" = "false" }, StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" } })
      OnlyThisKey    = jsonencode({ Null = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }, StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = aws_kms_key.this[0].arn } })
      NoCustomerKeys = jsonencode({ Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } })
    }
    error_message = "neither plain HTTP, old TLS nor another key may reach the states"
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].noncurrent_days == 90 && aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].newer_noncurrent_versions == 20
    error_message = "the newest 20 earlier versions stay, the rest for 90 days"
  }

  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0 && length(output.access_policies) == 0
    error_message = "without being asked it writes no access logs and no policies"
  }

  assert {
    condition     = output.backend.use_lockfile && output.backend.encrypt && output.backend.bucket == aws_s3_bucket.this.id && output.backend.kms_key_id == aws_kms_key.this[0].arn && output.backend.region == "eu-west-1"
    error_message = "the backend's settings name bucket, key, region and lock file"
  }

  assert {
    condition     = strcontains(output.backend_config, "use_lockfile = true\n") && strcontains(output.backend_config, "bucket       = \"acme-terraform-state-123456789012\"\n")
    error_message = "the backend's file says the same"
  }
}

run "a_prefix_gets_a_policy_of_its_own" {
  command = apply

  variables {
    access_prefixes = ["staging/", "production/"]
  }

  assert {
    condition     = join(" ", keys(output.access_policies)) == "production/ staging/"
    error_message = "each prefix has its policy"
  }

  assert {
    condition = { for statement in jsondecode(output.access_policies["staging/"]).Statement : statement.Sid => statement.Resource } == {
      List               = "arn:aws:s3:::acme-terraform-state-123456789012"
      ReadAndWriteStates = "arn:aws:s3:::acme-terraform-state-123456789012/staging/*"
      Unlock             = "arn:aws:s3:::acme-terraform-state-123456789012/staging/*.tflock"
      UseKey             = aws_kms_key.this[0].arn
    }
    error_message = "staging's policy reaches staging's states and deletes nothing but lock files"
  }
}

run "a_given_key_is_used" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/given"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && length(aws_kms_alias.this) == 0 && output.kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/given"
    error_message = "a given key is used, and none made"
  }
}

run "options_change_what_they_name" {
  command = apply

  variables {
    access_log_bucket   = "acme-logs"
    force_destroy       = true
    noncurrent_versions = { days = 30, keep = 5 }
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "acme-logs" && aws_s3_bucket_logging.this[0].target_prefix == "acme-terraform-state-123456789012/"
    error_message = "access logs go to the bucket named"
  }

  assert {
    condition     = aws_s3_bucket.this.force_destroy && aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30 && aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].newer_noncurrent_versions == 5
    error_message = "destruction and retention follow the caller"
  }
}
