locals {
  name = "${var.slug}-${var.environment}"
  # production has the plain names; the others put their own before.
  host = var.environment == "production" ? "api.${var.domain_name}" : "api.${var.environment}.${var.domain_name}"
}

# Not every account has every letter in every region.
data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394:it is only asked what there is; which zones are used is said by letter in the values
  state = "available"

  lifecycle {
    postcondition {
      condition     = alltrue([for letter in keys(var.platform.zones) : contains(self.names, "${var.region}${letter}")])
      error_message = "platform.zones names letters that this account has not in ${var.region}; it has ${join(", ", self.names)}."
    }
  }
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
