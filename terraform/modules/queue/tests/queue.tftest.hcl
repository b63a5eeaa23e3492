# Plans on a mocked provider: what is made, and what each option changes.

mock_provider "aws" {}

override_resource {
  target          = aws_sqs_queue.this
  override_during = plan
  values          = { arn = "arn:aws:sqs:eu-west-1:123456789012:queue", url = "https://sqs/queue" }
}

override_resource {
  target          = aws_sqs_queue.dead_letter
  override_during = plan
  values          = { arn = "arn:aws:sqs:eu-west-1:123456789012:dead", url = "https://sqs/dead" }
}

variables {
  name   = "acme-staging"
  region = "eu-west-1"
  queues = { jobs = {}, mail = { visibility_timeout_seconds = 60 } }
}

run "defaults_are_safe" {
  command = plan

  assert {
    condition     = { for key, queue in aws_sqs_queue.this : key => queue.name } == { jobs = "acme-staging-jobs", mail = "acme-staging-mail" } && { for key, queue in aws_sqs_queue.dead_letter : key => queue.name } == { jobs = "acme-staging-jobs-dead", mail = "acme-staging-mail-dead" }
    error_message = "each queue has a dead letter queue"
  }

  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead_letter)) : queue.sqs_managed_sse_enabled && queue.kms_master_key_id == null && !queue.fifo_queue])
    error_message = "messages are encrypted by SQS's own key"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.this["jobs"].redrive_policy) == { deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:dead", maxReceiveCount = 5 }
    error_message = "a message goes to the dead letter queue after 5 attempts"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letter["jobs"].redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = ["arn:aws:sqs:eu-west-1:123456789012:queue"] } && aws_sqs_queue_redrive_allow_policy.dead_letter["jobs"].queue_url == "https://sqs/dead"
    error_message = "only its own queue may leave messages in a dead letter queue"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.this["jobs"].redrive_allow_policy) == { redrivePermission = "denyAll" } && aws_sqs_queue_redrive_allow_policy.this["jobs"].queue_url == "https://sqs/queue"
    error_message = "a queue takes nobody's dead letters"
  }

  assert {
    condition     = toset(keys(aws_sqs_queue_policy.this)) == toset(["jobs", "jobs-dead", "mail", "mail-dead"])
    error_message = "every queue has a policy"
  }

  assert {
    condition = jsondecode(aws_sqs_queue_policy.this["jobs-dead"].policy).Statement == [{
      Sid       = "RefuseWithoutTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = "arn:aws:sqs:eu-west-1:123456789012:dead"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }] && aws_sqs_queue_policy.this["jobs-dead"].queue_url == "https://sqs/dead"
    error_message = "what comes without TLS is refused, and nothing is allowed"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this["jobs"].policy).Statement[0].Resource == "arn:aws:sqs:eu-west-1:123456789012:queue"
    error_message = "a queue's policy names the queue"
  }

  assert {
    condition     = aws_sqs_queue.this["jobs"].visibility_timeout_seconds == 300 && aws_sqs_queue.this["mail"].visibility_timeout_seconds == 60 && aws_sqs_queue.this["jobs"].message_retention_seconds == 345600 && aws_sqs_queue.dead_letter["jobs"].message_retention_seconds == 1209600 && aws_sqs_queue.this["jobs"].receive_wait_time_seconds == 20
    error_message = "times are as said, and receivers wait instead of asking again"
  }

  assert {
    condition = jsondecode(output.producer_policy_documents["jobs"]).Statement == [{
      Sid      = "ProduceToQueue"
      Effect   = "Allow"
      Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
      Resource = ["arn:aws:sqs:eu-west-1:123456789012:queue"]
    }]
    error_message = "a producer sends, and no more"
  }

  assert {
    condition = jsondecode(output.consumer_policy_documents["jobs"]).Statement == [{
      Sid      = "ConsumeQueue"
      Effect   = "Allow"
      Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
      Resource = ["arn:aws:sqs:eu-west-1:123456789012:queue"]
    }]
    error_message = "a consumer receives, and no more"
  }

  assert {
    condition     = output.url["jobs"] == "https://sqs/queue" && output.dead_letter_url["jobs"] == "https://sqs/dead" && output.arn["mail"] == "arn:aws:sqs:eu-west-1:123456789012:queue" && output.dead_letter_arn["mail"] == "arn:aws:sqs:eu-west-1:123456789012:dead" && output.name["mail"] == "acme-staging-mail" && output.dead_letter_name["mail"] == "acme-staging-mail-dead"
    error_message = "the outputs name queues by their keys"
  }
}

run "fifo_in_both_queues" {
  command = plan

  variables {
    queues = { orders = { fifo = true, content_based_deduplication = true, delay_seconds = 5, max_receive_count = 2, max_message_bytes = 1024 }, jobs = {} }
  }

  assert {
    condition     = aws_sqs_queue.this["orders"].name == "acme-staging-orders.fifo" && aws_sqs_queue.dead_letter["orders"].name == "acme-staging-orders-dead.fifo" && aws_sqs_queue.this["orders"].fifo_queue && aws_sqs_queue.dead_letter["orders"].fifo_queue
    error_message = "a FIFO queue's dead letter queue is FIFO too"
  }

  assert {
    condition     = aws_sqs_queue.this["orders"].content_based_deduplication && aws_sqs_queue.this["orders"].fifo_throughput_limit == "perMessageGroupId" && aws_sqs_queue.this["orders"].deduplication_scope == "messageGroup" && aws_sqs_queue.this["orders"].delay_seconds == 5 && aws_sqs_queue.this["orders"].max_message_size == 1024 && jsondecode(aws_sqs_queue.this["orders"].redrive_policy).maxReceiveCount == 2
    error_message = "groups do not wait for each other, and options are taken"
  }

  assert {
    condition     = !aws_sqs_queue.this["jobs"].fifo_queue && aws_sqs_queue.this["jobs"].name == "acme-staging-jobs"
    error_message = "the other queue stays a standard one"
  }
}

run "a_key_of_ones_own" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/mine"
  }

  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead_letter)) : queue.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/mine"])
    error_message = "both queues use the given key"
  }

  assert {
    condition = [for statement in jsondecode(output.producer_policy_documents["jobs"]).Statement : statement if statement.Sid == "UseKeyOfQueue"] == [{
      Sid       = "UseKeyOfQueue"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = ["arn:aws:kms:eu-west-1:123456789012:key/mine"]
      Condition = { StringEquals = { "kms:ViaService" = "sqs.eu-west-1.amazonaws.com" } }
    }]
    error_message = "a producer may use the key, through SQS only"
  }

  assert {
    condition     = [for statement in jsondecode(output.consumer_policy_documents["jobs"]).Statement : statement.Action if statement.Sid == "UseKeyOfQueue"] == [["kms:Decrypt"]]
    error_message = "a consumer may open messages"
  }
}
