# What services and tasks are given alike.

locals {
  shared = {
    name           = local.name
    region         = var.region
    architecture   = var.service.architecture
    vpc_id         = local.platform.network.vpc_id
    subnet_ids     = local.platform.network.private_subnet_ids
    repository_arn = data.aws_ecr_repository.this.arn
    kms_key_arn    = local.platform.cluster.kms_key_arn
  }

  # The two stores, whose own groups are opened from here, and AWS's services.
  egress = {
    cache    = { port = local.platform.cache.port, security_group_id = local.platform.cache.security_group_id, open_peer = true }
    database = { port = local.platform.database.port, security_group_id = local.platform.database.security_group_id, open_peer = true }
    https    = { port = 443, cidr_ipv4 = "0.0.0.0/0" }
  }
}
