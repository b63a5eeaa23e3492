output "provider_arn" {
  description = "GitHub's identity provider."
  value       = local.provider_arn
}

# A workflow that is told of a role finds it with its permissions.
output "role_arns" {
  description = "Roles, by name; workflows name theirs as `role-to-assume`."
  value       = { for key, role in aws_iam_role.this : key => role.arn }
  depends_on  = [aws_iam_role_policy.this, aws_iam_role_policy_attachment.this]
}

output "role_names" {
  description = "Names of the roles in IAM, by name."
  value       = { for key, role in aws_iam_role.this : key => role.name }
}
