provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to run the services in."
  type        = string
  default     = "us-east-1"
}

variable "domain_name" {
  description = "Domain whose zone is made here; the API answers under `api.`."
  type        = string
  default     = "example.com"
}

variable "image" {
  description = "The image every service and task runs."
  type        = string
  default     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/example:1.0.0"
}

module "service" {
  source = "../../modules/service"

  name           = "example-service"
  region         = var.region
  image          = var.image
  repository_arn = aws_ecr_repository.this.arn
  vpc_id         = aws_vpc.this.id
  subnet_ids     = [for subnet in aws_subnet.this : subnet.id]
  kms_key_arn    = module.cluster.kms_key_arn

  cluster = {
    arn  = module.cluster.cluster_arn
    name = module.cluster.cluster_name
  }

  load_balancer = {
    arn_suffix        = module.cluster.alb_arn_suffix
    listener_arn      = module.cluster.https_listener_arn
    security_group_id = module.cluster.alb_security_group_id
  }

  services = {
    api = {
      command     = ["serve"]
      cpu         = 512
      memory      = 1024
      port        = 8000
      environment = { APP_TRUSTED_PROXY_COUNT = "1" }
      secrets     = { APP_DATABASE_URL = { arn = aws_secretsmanager_secret.this["runtime"].arn, json_key = "url" } }
      health_check = {
        command = ["python", "-m", "app.health.probe"]
      }
      listener = {
        priority      = 100
        path_patterns = ["/*"]
      }
      egress = {
        database = { port = 5432, security_group_id = aws_security_group.database.id, open_peer = true }
        https    = { port = 443, cidr_ipv4 = "0.0.0.0/0" }
      }
      autoscaling = {
        min                 = 2
        max                 = 10
        cpu                 = 60
        requests_per_target = 1000
      }
    }

    # A worker is one entry: no port, no listener, as many tasks as its queue needs.
    worker = {
      command                    = ["worker"]
      capacity_provider_strategy = { FARGATE_SPOT = { weight = 1 } }
      autoscaling = {
        min     = 0
        max     = 20
        backlog = { queue_names = ["example-jobs"], messages_per_task = 100 }
      }
      egress = { https = { port = 443, cidr_ipv4 = "0.0.0.0/0" } }
      policy_statements = [{
        sid       = "TakeJobs"
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
        resources = [aws_sqs_queue.this.arn]
      }]
    }

    beat = {
      command       = ["beat"]
      desired_count = 1
    }
  }

  tasks = {
    migrate = {
      command = ["migrate", "apply"]
      secrets = { APP_MIGRATION_DATABASE_URL = { arn = aws_secretsmanager_secret.this["owner"].arn } }
      egress = {
        database = { port = 5432, security_group_id = aws_security_group.database.id, open_peer = true }
        https    = { port = 443, cidr_ipv4 = "0.0.0.0/0" }
      }
    }
  }
}

output "run_task" {
  value = module.service.run_task
}
