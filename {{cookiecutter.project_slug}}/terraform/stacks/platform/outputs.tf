# What the stack service and the operator's commands read.

output "alarms_topic_arn" {
  description = "Topic that hears of every alarm; the stack service's go there too."
  value       = module.observability.topic_arn
}

output "cache" {
  description = "Where the cache is, who may reach it, and the user its clients log in with."
  value = {
    endpoint          = module.cache.endpoint
    port              = module.cache.port
    security_group_id = module.cache.security_group_id
    user_id           = "${local.name}-app"
  }
}

output "cluster" {
  description = "The ECS cluster and the key of its logs."
  value = {
    arn         = module.cluster.cluster_arn
    kms_key_arn = module.cluster.kms_key_arn
    name        = module.cluster.cluster_name
  }
}

output "database" {
  description = "Where the database is, who may reach it, and the secret RDS keeps its master password in."
  value = {
    endpoint          = module.database.endpoint
    master_secret_arn = module.database.master_secret_arn
    master_username   = module.database.master_username
    name              = module.database.name
    port              = module.database.port
    security_group_id = module.database.security_group_id
  }
}

output "host" {
  description = "Name the service is reached by."
  value       = local.host
}

output "load_balancer" {
  description = "The load balancer, as services add their rules to it."
  value = {
    arn_suffix        = module.cluster.alb_arn_suffix
    listener_arn      = module.cluster.https_listener_arn
    security_group_id = module.cluster.alb_security_group_id
  }
}

output "network" {
  description = "Where tasks run."
  value = {
    private_subnet_ids = module.network.private_subnet_ids
    vpc_id             = module.network.vpc_id
  }
}

output "queues" {
  description = "The queues: ARN and URL by name."
  value       = { for name, arn in module.queue.arn : name => { arn = arn, url = module.queue.url[name] } }
}

output "secrets" {
  description = "The secrets by name, and the key they are encrypted with."
  value = {
    arns        = module.secrets.arns
    kms_key_arn = module.secrets.kms_key_arn
  }
}
