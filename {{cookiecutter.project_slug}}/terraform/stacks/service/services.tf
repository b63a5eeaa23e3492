# Long-running processes: one entry each.

module "services" {
  source = "../../modules/service"

  name                  = local.shared.name
  region                = local.shared.region
  architecture          = local.shared.architecture
  image                 = var.image
  cluster               = { arn = local.platform.cluster.arn, name = local.platform.cluster.name }
  load_balancer         = local.platform.load_balancer
  vpc_id                = local.shared.vpc_id
  subnet_ids            = local.shared.subnet_ids
  repository_arn        = local.shared.repository_arn
  kms_key_arn           = local.shared.kms_key_arn
  secrets_kms_key_arns  = [local.platform.secrets.kms_key_arn]
  log_retention_days    = var.platform.log_retention_days
  wait_for_steady_state = var.service.wait_for_steady_state

  services = {
    api = {
      command                    = ["serve"]
      port                       = 8000
      cpu                        = var.service.api.cpu
      memory                     = var.service.api.memory
      capacity_provider_strategy = var.service.api.capacity_providers
      environment                = local.environment
      secrets                    = local.secrets_of["api"]
      egress                     = local.egress
      health_check               = { command = ["python", "-m", "app.health.probe"] }
      listener                   = { priority = 100, path_patterns = ["/*"] }
      autoscaling                = { min = var.service.api.min, max = var.service.api.max, cpu = 60, requests_per_target = 1000 }
    }
  }
}
