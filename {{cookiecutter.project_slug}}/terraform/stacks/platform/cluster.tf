data "aws_route53_zone" "this" {
  name         = var.domain_name
  private_zone = false
}

module "cluster" {
  source = "../../modules/cluster"

  name              = local.name
  region            = var.region
  vpc_id            = module.network.vpc_id
  public_subnet_ids = module.network.public_subnet_ids

  dns                 = { domain_name = local.host, zone_id = data.aws_route53_zone.this.zone_id }
  access_logs         = { force_destroy = !var.platform.production, retention_days = var.platform.log_retention_days }
  deletion_protection = var.platform.deletion_protection
  log_retention_days  = var.platform.log_retention_days

  default_capacity_provider_strategy = var.platform.capacity_providers
}
