module "database" {
  source = "../../modules/database"

  name              = local.name
  region            = var.region
  vpc_id            = module.network.vpc_id
  subnet_group_name = module.network.database_subnet_group_name

  # RDS makes and keeps the master password, so that nobody has to.
  manage_master_user_password = true

  instance_class        = var.platform.database.instance_class
  multi_az              = var.platform.database.multi_az
  storage               = var.platform.database.storage
  backup_retention_days = var.platform.database.backup_retention_days
  deletion_protection   = var.platform.deletion_protection
  production            = var.platform.production
  skip_final_snapshot   = !var.platform.production
  log_retention_days    = var.platform.log_retention_days
}
