variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "queues" {
  description = <<-EOT
    The queues by name. A message that was received `max_receive_count` times without being deleted goes to the dead
    letter queue; `visibility_timeout_seconds` is how long a receiver may take, so it must exceed the longest task.
  EOT
  type = map(object({
    content_based_deduplication   = optional(bool, false)
    dead_letter_retention_seconds = optional(number, 1209600)
    delay_seconds                 = optional(number, 0)
    fifo                          = optional(bool, false)
    max_message_bytes             = optional(number, 262144)
    max_receive_count             = optional(number, 5)
    receive_wait_seconds          = optional(number, 20)
    retention_seconds             = optional(number, 345600)
    visibility_timeout_seconds    = optional(number, 300)
  }))
  nullable = false

  validation {
    condition     = length(var.queues) > 0 && alltrue([for key in keys(var.queues) : can(regex("^[a-z](-?[a-z0-9])*$", key)) && length(key) <= 32 && !endswith(key, "-dead")])
    error_message = "queues must hold at least one queue, named by up to 32 lower-case letters, digits and single hyphens; `-dead` is the end of a dead letter queue's name."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.visibility_timeout_seconds >= 1 && queue.visibility_timeout_seconds <= 43200])
    error_message = "queues: visibility_timeout_seconds must be 1 to 43200 (12 hours)."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.retention_seconds >= 60 && queue.dead_letter_retention_seconds <= 1209600])
    error_message = "queues: retention_seconds must be at least 60, and dead_letter_retention_seconds at most 1209600 (14 days)."
  }

  validation {
    # A message keeps the time it was first sent at, and would expire soon after it was moved.
    condition     = alltrue([for queue in values(var.queues) : queue.dead_letter_retention_seconds > queue.retention_seconds])
    error_message = "queues: dead_letter_retention_seconds must exceed retention_seconds, since a dead letter's age counts from when it was first sent."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.retention_seconds > queue.visibility_timeout_seconds])
    error_message = "queues: retention_seconds must exceed visibility_timeout_seconds, or a message expires while it is being handled."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.max_receive_count >= 1 && queue.max_receive_count <= 1000 && floor(queue.max_receive_count) == queue.max_receive_count])
    error_message = "queues: max_receive_count must be a whole number from 1 to 1000."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.delay_seconds >= 0 && queue.delay_seconds <= 900 && queue.receive_wait_seconds >= 0 && queue.receive_wait_seconds <= 20])
    error_message = "queues: delay_seconds must be 0 to 900, and receive_wait_seconds 0 to 20."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.max_message_bytes >= 1024 && queue.max_message_bytes <= 262144])
    error_message = "queues: max_message_bytes must be 1024 to 262144."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : queue.fifo || !queue.content_based_deduplication])
    error_message = "queues: content_based_deduplication needs fifo = true."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key of the messages. Null: SQS encrypts them with a key of its own, at no charge."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
