provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region to make the queues in."
  type        = string
  default     = "us-east-1"
}

module "queue" {
  source = "../../modules/queue"

  name   = "example-dev"
  region = var.region

  queues = {
    jobs   = { visibility_timeout_seconds = 900 }
    orders = { fifo = true, max_receive_count = 3 }
  }
}

output "url" {
  value = module.queue.url
}
