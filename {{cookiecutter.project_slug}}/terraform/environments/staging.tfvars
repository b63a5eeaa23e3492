# Shaped like production, so that what fails there fails here first; smaller, and without a standby database.
environment = "staging"

platform = {
  cidr_block          = "10.20.0.0/16"
  zones               = { a = 0, b = 1, c = 2 }
  nat                 = "single"
  production          = false
  deletion_protection = true
  log_retention_days  = 30

  database = {
    instance_class        = "db.t4g.medium"
    multi_az              = false
    backup_retention_days = 7
    storage               = { allocated_gib = 50, max_gib = 200 }
    connections_alarm     = 300
  }

  cache = {
    type                    = "cache.t4g.small"
    replicas                = 1
    snapshot_retention_days = 1
  }

  capacity_providers = { FARGATE = { weight = 1, base = 1 }, FARGATE_SPOT = { weight = 3 } }
  alarm_emails       = []
}

service = {
  api = {
    cpu                = 512
    memory             = 1024
    min                = 2
    max                = 4
    capacity_providers = { FARGATE = { weight = 1, base = 1 }, FARGATE_SPOT = { weight = 3 } }
  }
}
