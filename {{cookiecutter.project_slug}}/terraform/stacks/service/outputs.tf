output "host" {
  description = "Name the service is reached by."
  value       = local.platform.host
}

output "image" {
  description = "The image that was applied last."
  value       = var.image
}

output "log_group_names" {
  description = "Log group of each service, by name."
  value       = module.services.log_group_names
}

output "run_task" {
  description = "What `make task` needs for each one-off task, by name."
  value       = module.tasks.run_task
}

# Apart from the services', so that it is there when the tasks alone were applied.
output "task_log_group_names" {
  description = "Log group of each one-off task, by name."
  value       = module.tasks.log_group_names
}
