# Nobody speaks to a queue without TLS; who may do what is said by the roles of those who do it.

locals {
  all_queues = merge(
    { for key, queue in aws_sqs_queue.this : key => queue },
    { for key, queue in aws_sqs_queue.dead_letter : "${key}-dead" => queue },
  )

  # What a message's data key takes: to send one makes it, to receive one opens it.
  key_statements = {
    for role, actions in { consumer = ["kms:Decrypt"], producer = ["kms:Decrypt", "kms:GenerateDataKey"] } : role => var.kms_key_arn == null ? [] : [{
      Sid       = "UseKeyOfQueue"
      Effect    = "Allow"
      Action    = actions
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "sqs.${var.region}.amazonaws.com" } }
    }]
  }
}

resource "aws_sqs_queue_policy" "this" {
  for_each = { for key in concat(keys(var.queues), [for key in keys(var.queues) : "${key}-dead"]) : key => key }

  queue_url = local.all_queues[each.key].url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefuseWithoutTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.all_queues[each.key].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
