output "repository_url" {
  description = "Address of the repository, to which an image's tag or digest is added."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "ARN of the repository."
  value       = aws_ecr_repository.this.arn
}

output "repository_name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.this.name
}

output "kms_key_arn" {
  description = "Key the images are encrypted with."
  value       = local.kms_key_arn
}

output "pull_policy_json" {
  description = "Policy document for a role that pulls."
  value       = local.access_policies.pull
}

output "push_policy_json" {
  description = "Policy document for a role that builds, pushes and reads scans."
  value       = local.access_policies.push
}
