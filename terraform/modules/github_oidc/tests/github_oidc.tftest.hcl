# What is made, and what each option changes.

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

run "a_role_is_for_its_subjects_only" {
  command = apply

  variables {
    roles = {
      deploy = { subjects = ["repo:acme@12/api@34:environment:staging"] }
      plan   = { subjects = ["repo:acme/api:pull_request", "repo:acme/api:ref:refs/heads/main", "repo:acme/api:pull_request"] }
    }
  }

  assert {
    condition = jsondecode(aws_iam_role.this["deploy"].assume_role_policy).Statement == [{
      Effect    = "Allow"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = ["repo:acme@12/api@34:environment:staging"]
        }
      }
    }]
    error_message = "audience and subject must both be equal, and nothing else lets anybody in"
  }

  assert {
    condition     = jsondecode(aws_iam_role.this["plan"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:acme/api:pull_request", "repo:acme/api:ref:refs/heads/main"]
    error_message = "another role has subjects of its own, each once"
  }

  assert {
    condition     = aws_iam_openid_connect_provider.this[0].url == "https://token.actions.githubusercontent.com" && aws_iam_openid_connect_provider.this[0].client_id_list == toset(["sts.amazonaws.com"])
    error_message = "the provider is GitHub's, for AWS alone"
  }

  assert {
    condition     = aws_iam_role.this["deploy"].name == "acme-staging-deploy" && aws_iam_role.this["deploy"].max_session_duration == 3600 && aws_iam_role.this["deploy"].permissions_boundary == null
    error_message = "a session lasts an hour unless said otherwise"
  }

  assert {
    condition     = length(aws_iam_role_policy.this) == 0 && length(aws_iam_role_policy_attachment.this) == 0
    error_message = "a role may nothing that it was not given"
  }

  assert {
    condition     = join(" ", keys(output.role_arns)) == "deploy plan" && output.role_names["plan"] == "acme-staging-plan" && output.provider_arn == aws_iam_openid_connect_provider.this[0].arn
    error_message = "the outputs name roles and provider"
  }
}

run "a_role_has_what_it_is_given" {
  command = plan

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    roles = {
      deploy = {
        description          = "Deploys"
        subjects             = ["repo:acme/api:environment:staging"]
        managed_policy_arns  = ["arn:aws:iam::aws:policy/AdministratorAccess"]
        max_session_duration = 7200
        permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
        policies             = { push = "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"ecr:*\",\"Resource\":\"arn:aws:ecr:eu-west-1:123456789012:repository/acme\"}}" }
      }
    }
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.this) == 0 && jsondecode(aws_iam_role.this["deploy"].assume_role_policy).Statement[0].Principal.Federated == var.provider_arn
    error_message = "a provider that exists is used, and none made"
  }

  assert {
    condition     = aws_iam_role_policy.this["deploy/push"].role == "acme-staging-deploy" && aws_iam_role_policy.this["deploy/push"].policy == var.roles.deploy.policies.push
    error_message = "the policy document is the role's"
  }

  assert {
    condition     = aws_iam_role_policy_attachment.this["deploy/arn:aws:iam::aws:policy/AdministratorAccess"].policy_arn == "arn:aws:iam::aws:policy/AdministratorAccess"
    error_message = "the managed policy is attached, since a boundary holds it in"
  }

  assert {
    condition     = aws_iam_role.this["deploy"].max_session_duration == 7200 && aws_iam_role.this["deploy"].permissions_boundary == "arn:aws:iam::123456789012:policy/boundary" && aws_iam_role.this["deploy"].description == "Deploys"
    error_message = "session, boundary and description are the caller's"
  }
}

run "a_reusable_workflow_can_be_a_subject" {
  command = plan

  variables {
    roles = { deploy = { subjects = ["repo:acme/api:job_workflow_ref:acme/workflows/.github/workflows/deploy.yml@refs/heads/main"] } }
  }

  assert {
    condition     = length(aws_iam_role.this) == 1
    error_message = "a subject made of repository and workflow is a whole subject"
  }
}
