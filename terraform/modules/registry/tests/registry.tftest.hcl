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

run "the_defaults_are_safe" {
  command = apply

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push && !aws_ecr_repository.this.force_delete
    error_message = "tags stay, images are scanned, and a repository with images refuses to be deleted"
  }

  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS" && aws_ecr_repository.this.encryption_configuration[0].kms_key == aws_kms_key.this[0].arn && aws_kms_key.this[0].enable_key_rotation
    error_message = "images are encrypted with the module's own key, which is rotated"
  }

  assert {
    condition     = length(aws_ecr_repository_policy.this) == 0
    error_message = "without accounts to pull there is no repository policy"
  }

  assert {
    condition = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : "${rule.selection.tagStatus} ${rule.selection.countType} ${rule.selection.countNumber}"] == [
      "untagged sinceImagePushed 7", "any imageCountMoreThan 100",
    ]
    error_message = "untagged images leave after a week, the newest 100 stay"
  }

  assert {
    condition     = output.repository_url == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme" && output.repository_arn == "arn:aws:ecr:eu-west-1:123456789012:repository/acme" && output.repository_name == "acme"
    error_message = "the outputs name the repository"
  }
}

run "policies_reach_this_repository_only" {
  command = apply

  assert {
    condition = alltrue([
      for statement in concat(jsondecode(output.pull_policy_json).Statement, jsondecode(output.push_policy_json).Statement) :
      statement.Resource == aws_ecr_repository.this.arn || try(statement.Action == "ecr:GetAuthorizationToken", false)
    ])
    error_message = "only the login, which has no resource, reaches beyond the repository"
  }

  assert {
    condition     = !strcontains(output.pull_policy_json, "ecr:PutImage") && strcontains(output.push_policy_json, "ecr:PutImage") && !strcontains(output.push_policy_json, "Delete")
    error_message = "who pulls does not push, and who pushes does not delete"
  }
}

run "named_accounts_may_pull" {
  command = plan

  variables {
    pull_account_ids = ["210987654321", "111111111111"]
  }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Principal.AWS == ["arn:aws:iam::111111111111:root", "arn:aws:iam::210987654321:root"]
    error_message = "the accounts named, and no others"
  }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Action == ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    error_message = "they pull and do nothing else"
  }
}

run "options_change_what_they_name" {
  command = plan

  variables {
    force_delete = true
    kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/given"
    retention    = { images = 10, untagged_days = 1 }
  }

  assert {
    condition     = aws_ecr_repository.this.force_delete && length(aws_kms_key.this) == 0 && aws_ecr_repository.this.encryption_configuration[0].kms_key == "arn:aws:kms:eu-west-1:123456789012:key/given"
    error_message = "a given key is used, and none made"
  }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.countNumber] == [1, 10]
    error_message = "what is kept is the caller's"
  }
}
