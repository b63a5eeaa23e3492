provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region of what is watched."
  type        = string
  default     = "us-east-1"
}

module "observability" {
  source = "../../modules/observability"

  name   = "example-observability"
  region = var.region

  subscriptions = {
    people = { protocol = "email", endpoint = "ops@example.com" }
  }

  load_balancer = {
    arn_suffix              = "app/example/0123456789abcdef"
    target_group_arn_suffix = { api = "targetgroup/api/0123456789abcdef" }
  }

  services = {
    api = { cluster_name = "example", service_name = "api" }
  }

  databases = {
    primary = { instance_id = "example", connections = 80 }
    replica = { instance_id = "example-replica", connections = 80, replica_lag_seconds = 30 }
  }

  caches = {
    first = { cluster_id = "example-001" }
  }

  queues = {
    jobs = { queue_name = "example-jobs", dead_letter_queue_name = "example-jobs-dead" }
  }
}

output "dashboard_name" {
  value = module.observability.dashboard_name
}
