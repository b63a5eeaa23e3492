# Jobs of the workers; a message that fails five times waits in the queue of dead letters.

module "queue" {
  source = "../../modules/queue"

  name   = local.name
  region = var.region
  queues = { jobs = {} }
}
