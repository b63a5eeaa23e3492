# Survives the loss of a zone. What would lose data is refused by the stack itself, not only set here.
environment = "production"

platform = {
  cidr_block          = "10.30.0.0/16"
  zones               = { a = 0, b = 1, c = 2 }
  nat                 = "per_zone"
  production          = true
  deletion_protection = true
  log_retention_days  = 90

  database = {
    instance_class        = "db.m7g.large"
    multi_az              = true
    backup_retention_days = 30
    storage               = { allocated_gib = 100, max_gib = 1000 }
    connections_alarm     = 700
  }

  cache = {
    type                    = "cache.m7g.large"
    replicas                = 2
    snapshot_retention_days = 7
  }

  capacity_providers = { FARGATE = { weight = 1 } }
  # Who hears of alarms; each address has to confirm.
  alarm_emails = []
}

service = {
  api = {
    cpu                = 1024
    memory             = 2048
    min                = 3
    max                = 12
    capacity_providers = { FARGATE = { weight = 1 } }
  }
}
