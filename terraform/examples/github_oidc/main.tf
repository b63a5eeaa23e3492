provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to work in; IAM itself has none."
  type        = string
  default     = "us-east-1"
}

variable "repository" {
  description = "Repository whose workflows take the roles, as its tokens name it."
  type        = string
  default     = "acme@1234567/api@7654321"
}

module "github_oidc" {
  source = "../../modules/github_oidc"

  name = "example"

  roles = {
    plan = {
      subjects            = ["repo:${var.repository}:pull_request"]
      managed_policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
    }

    deploy = {
      subjects             = ["repo:${var.repository}:environment:production"]
      max_session_duration = 7200
      policies = {
        deploy = jsonencode({
          Version = "2012-10-17"
          Statement = [{
            Effect   = "Allow"
            Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
            Resource = "arn:aws:ecs:${var.region}:123456789012:service/example/*"
          }]
        })
      }
    }
  }
}

output "role_arns" {
  description = "Roles the workflows take."
  value       = module.github_oidc.role_arns
}
