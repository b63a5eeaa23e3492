# The queues, and beside each one the dead letter queue that takes what could not be handled.

locals {
  suffix = { for key, queue in var.queues : key => queue.fifo ? ".fifo" : "" }
}

resource "aws_sqs_queue" "this" {
  #checkov:skip=CKV_AWS_27:Encrypted either by the given key or by SQS's own; a key costs a request fee at each poll
  for_each = var.queues

  name = "${var.name}-${each.key}${local.suffix[each.key]}"

  visibility_timeout_seconds = each.value.visibility_timeout_seconds
  message_retention_seconds  = each.value.retention_seconds
  delay_seconds              = each.value.delay_seconds
  receive_wait_time_seconds  = each.value.receive_wait_seconds
  max_message_size           = each.value.max_message_bytes

  fifo_queue                  = each.value.fifo
  content_based_deduplication = each.value.fifo ? each.value.content_based_deduplication : null
  deduplication_scope         = each.value.fifo ? "messageGroup" : null
  fifo_throughput_limit       = each.value.fifo ? "perMessageGroupId" : null

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter[each.key].arn
    maxReceiveCount     = each.value.max_receive_count
  })

  tags = var.tags
}

resource "aws_sqs_queue" "dead_letter" {
  #checkov:skip=CKV_AWS_27:Encrypted either by the given key or by SQS's own; a key costs a request fee at each poll
  for_each = var.queues

  name = "${var.name}-${each.key}-dead${local.suffix[each.key]}"

  message_retention_seconds = each.value.dead_letter_retention_seconds
  max_message_size          = each.value.max_message_bytes
  fifo_queue                = each.value.fifo
  deduplication_scope       = each.value.fifo ? "messageGroup" : null
  fifo_throughput_limit     = each.value.fifo ? "perMessageGroupId" : null

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300

  tags = var.tags
}

# Only its own queue may leave messages in a dead letter queue, and a queue takes nobody's dead letters.
resource "aws_sqs_queue_redrive_allow_policy" "dead_letter" {
  for_each = var.queues

  queue_url = aws_sqs_queue.dead_letter[each.key].url

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "this" {
  for_each = var.queues

  queue_url            = aws_sqs_queue.this[each.key].url
  redrive_allow_policy = jsonencode({ redrivePermission = "denyAll" })
}
