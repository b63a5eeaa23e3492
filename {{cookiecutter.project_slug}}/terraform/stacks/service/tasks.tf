# One-off tasks. They are applied before the services (`make tf-plan PART=tasks`), so that a migration runs
# with the new image while the old one still serves.

module "tasks" {
  source = "../../modules/service"

  name                 = local.shared.name
  region               = local.shared.region
  architecture         = local.shared.architecture
  image                = var.image
  cluster              = { arn = local.platform.cluster.arn, name = local.platform.cluster.name }
  vpc_id               = local.shared.vpc_id
  subnet_ids           = local.shared.subnet_ids
  repository_arn       = local.shared.repository_arn
  kms_key_arn          = local.shared.kms_key_arn
  secrets_kms_key_arns = [local.platform.secrets.kms_key_arn]
  log_retention_days   = var.platform.log_retention_days

  services = {}

  tasks = {
    for task, command in {
      bootstrap = ["tenants", "bootstrap"]
      migrate   = ["migrate", "apply"]
      provision = ["migrate", "provision"]
      } : task => {
      command     = command
      cpu         = 512
      memory      = 1024
      environment = local.environment
      secrets     = local.secrets_of[task]
      egress      = local.egress
    }
  }
}
