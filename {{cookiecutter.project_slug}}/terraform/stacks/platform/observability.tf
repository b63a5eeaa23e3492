check "somebody_hears_of_alarms" {
  assert {
    condition     = !var.platform.production || length(var.platform.alarm_emails) > 0
    error_message = "platform.alarm_emails is empty: alarms of a production go nowhere."
  }
}

module "observability" {
  source = "../../modules/observability"

  name   = local.name
  region = var.region

  load_balancer = { arn_suffix = module.cluster.alb_arn_suffix }

  databases = {
    primary = {
      connections = var.platform.database.connections_alarm
      # RDS grows the storage when less than a tenth is free, so less than a twentieth means that it could not.
      free_storage_gib = var.platform.database.storage.allocated_gib / 20
      instance_id      = module.database.instance_id
    }
  }

  caches = { for number, id in module.cache.member_cluster_ids : "node-${number + 1}" => { cluster_id = id } }

  queues = {
    for name, queue in module.queue.name : name => { queue_name = queue, dead_letter_queue_name = module.queue.dead_letter_name[name] }
  }

  # A service is called by its key in the stack service, which stands after this one.
  services = { api = { cluster_name = module.cluster.cluster_name, service_name = "api" } }

  subscriptions = { for email in var.platform.alarm_emails : replace(email, "@", " at ") => { endpoint = email, protocol = "email" } }
}
