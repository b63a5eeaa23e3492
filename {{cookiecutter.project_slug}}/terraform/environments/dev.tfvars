# Cheap, and gone in one command: one NAT gateway, no standby, nothing kept for long.
environment = "dev"

platform = {
  cidr_block          = "10.10.0.0/16"
  zones               = { a = 0, b = 1 }
  nat                 = "single"
  production          = false
  deletion_protection = false
  log_retention_days  = 14
  # Otherwise their names stay taken after the end, and dev could not be made again.
  secret_recovery_days = 0

  database = {
    instance_class        = "db.t4g.small"
    multi_az              = false
    backup_retention_days = 1
    storage               = { allocated_gib = 20, max_gib = 100 }
    connections_alarm     = 150
  }

  cache = {
    type                    = "cache.t4g.micro"
    replicas                = 0
    snapshot_retention_days = 0
  }

  capacity_providers = { FARGATE_SPOT = { weight = 1 } }
  alarm_emails       = []
}

service = {
  api = {
    cpu                = 256
    memory             = 1024
    min                = 1
    max                = 2
    capacity_providers = { FARGATE_SPOT = { weight = 1 } }
  }
}
