# Roles that workflows take: one that builds, and in each environment one that plans and one that deploys.

module "github_oidc" {
  source = "../../modules/github_oidc"
  count  = var.github_repository == null ? 0 : 1

  name = var.slug

  roles = merge(
    {
      build = {
        description = "Builds, pushes and scans images"
        subjects    = ["repo:${var.github_repository}:ref:refs/heads/main"]
        policies    = { push = module.registry.push_policy_json }
      }
    },
    {
      for environment in var.environments : "${environment}-plan" => {
        description         = "Reads what a plan of ${environment} compares, and no data"
        subjects            = ["repo:${var.github_repository}:environment:${environment}-plan"]
        managed_policy_arns = local.reading_policy_arns
        policies            = { read = local.reading_policy, state = local.state_policies["plan"][environment] }
      }
    },
    {
      for environment in var.environments : "${environment}-deploy" => {
        description          = "Rolls out an image to ${environment} and runs its tasks"
        subjects             = ["repo:${var.github_repository}:environment:${environment}"]
        managed_policy_arns  = local.reading_policy_arns
        max_session_duration = 7200
        policies = {
          deploy = local.deploy_policies[environment]
          read   = local.reading_policy
          state  = local.state_policies["deploy"][environment]
        }
      }
    },
  )
}
