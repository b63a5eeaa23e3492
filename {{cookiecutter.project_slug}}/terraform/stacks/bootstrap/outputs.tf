output "backend_config" {
  description = "Where the states are; `make tf-init STACK=bootstrap MOVE=1` keeps it in environments/state.tfbackend."
  value       = module.state.backend_config
}

output "repository_arn" {
  description = "Repository of the images."
  value       = module.registry.repository_arn
}

output "repository_url" {
  description = "Address of the repository, to which an image's digest is added."
  value       = module.registry.repository_url
}

output "role_arns" {
  description = "Roles of the workflows, by name; empty without github_repository."
  value       = try(module.github_oidc[0].role_arns, {})
}
