output "arn" {
  description = "ARN of each queue, by its key."
  value       = { for key, queue in aws_sqs_queue.this : key => queue.arn }
}

output "consumer_policy_documents" {
  description = "By queue, the policy (JSON) of a role that takes messages from it."
  value = {
    for key, queue in aws_sqs_queue.this : key => jsonencode({
      Version = "2012-10-17"
      Statement = concat([{
        Sid    = "ConsumeQueue"
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage",
        ]
        Resource = [queue.arn]
      }], local.key_statements["consumer"])
    })
  }
}

output "dead_letter_arn" {
  description = "ARN of each dead letter queue, by its queue's key."
  value       = { for key, queue in aws_sqs_queue.dead_letter : key => queue.arn }
}

output "dead_letter_name" {
  description = "Name of each dead letter queue, by its queue's key; CloudWatch's dimension `QueueName`."
  value       = { for key, queue in aws_sqs_queue.dead_letter : key => queue.name }
}

output "dead_letter_url" {
  description = "URL of each dead letter queue, by its queue's key."
  value       = { for key, queue in aws_sqs_queue.dead_letter : key => queue.url }
}

output "name" {
  description = "Name of each queue, by its key; CloudWatch's dimension `QueueName`."
  value       = { for key, queue in aws_sqs_queue.this : key => queue.name }
}

output "producer_policy_documents" {
  description = "By queue, the policy (JSON) of a role that sends messages to it."
  value = {
    for key, queue in aws_sqs_queue.this : key => jsonencode({
      Version = "2012-10-17"
      Statement = concat([{
        Sid      = "ProduceToQueue"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
        Resource = [queue.arn]
      }], local.key_statements["producer"])
    })
  }
}

output "url" {
  description = "URL of each queue, by its key."
  value       = { for key, queue in aws_sqs_queue.this : key => queue.url }
}
