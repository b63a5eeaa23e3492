locals {
  name = "${var.slug}-${var.environment}"
  # production has the plain names; the others put their own before.
  host = var.environment == "production" ? "api.${var.domain_name}" : "api.${var.environment}.${var.domain_name}"
}

module "network" {
  source = "../../modules/network"

  name                = local.name
  region              = var.region
  cidr_block          = var.platform.cidr_block
  zones               = { for letter, index in var.platform.zones : "${var.region}${letter}" => { index = index } }
  nat                 = var.platform.nat
  interface_endpoints = var.platform.interface_endpoints
  flow_logs           = { retention_days = var.platform.log_retention_days }
}
