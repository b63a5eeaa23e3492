module "cache" {
  source = "../../modules/cache"

  name       = local.name
  region     = var.region
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.private_subnet_ids

  # Made by `make cache-user` before the first apply, since its password would lie in the state.
  external_user_ids = ["${local.name}-app"]

  nodes                   = { type = var.platform.cache.type, replicas = var.platform.cache.replicas }
  snapshot_retention_days = var.platform.cache.snapshot_retention_days
  production              = var.platform.production
  skip_final_snapshot     = !var.platform.production
  log_retention_days      = var.platform.log_retention_days
}
