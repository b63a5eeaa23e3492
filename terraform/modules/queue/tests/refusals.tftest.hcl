# What is refused, each with a message that says what to do.

mock_provider "aws" {}

variables {
  name   = "acme-staging"
  region = "eu-west-1"
  queues = { jobs = {} }
}

run "first_bad_value_of_each" {
  command = plan

  variables {
    # Name too long.
    name = "a23456789012345678901234567890123"
    # Key that is no arn.
    kms_key_arn = "alias/mine"
  }

  expect_failures = [
    var.name,
    var.kms_key_arn,
  ]
}

run "second_bad_value_of_each" {
  command = plan

  variables {
    # Name with capitals.
    name = "Acme"
  }

  expect_failures = [
    var.name,
  ]
}

run "no_queues" {
  command = plan

  variables {
    queues = {}
  }

  expect_failures = [var.queues]
}

run "queue_named_like_a_dead_letter_queue" {
  command = plan

  variables {
    queues = { jobs-dead = {} }
  }

  expect_failures = [var.queues]
}

run "queue_with_capitals" {
  command = plan

  variables {
    queues = { Jobs = {} }
  }

  expect_failures = [var.queues]
}

run "no_time_to_handle_a_message" {
  command = plan

  variables {
    queues = { jobs = { visibility_timeout_seconds = 0 } }
  }

  expect_failures = [var.queues]
}

run "more_than_twelve_hours_to_handle_a_message" {
  command = plan

  variables {
    queues = { jobs = { visibility_timeout_seconds = 43201 } }
  }

  expect_failures = [var.queues]
}

run "retention_of_seconds" {
  command = plan

  variables {
    queues = { jobs = { retention_seconds = 59, visibility_timeout_seconds = 30 } }
  }

  expect_failures = [var.queues]
}

run "dead_letters_for_longer_than_sqs_keeps" {
  command = plan

  variables {
    queues = { jobs = { dead_letter_retention_seconds = 1209601 } }
  }

  expect_failures = [var.queues]
}

run "dead_letters_that_expire_first" {
  command = plan

  variables {
    queues = { jobs = { retention_seconds = 345600, dead_letter_retention_seconds = 345600 } }
  }

  expect_failures = [var.queues]
}

run "messages_that_expire_while_handled" {
  command = plan

  variables {
    queues = { jobs = { retention_seconds = 300, visibility_timeout_seconds = 300 } }
  }

  expect_failures = [var.queues]
}

run "dead_before_the_first_attempt" {
  command = plan

  variables {
    queues = { jobs = { max_receive_count = 0 } }
  }

  expect_failures = [var.queues]
}

run "delay_above_a_quarter_of_an_hour" {
  command = plan

  variables {
    queues = { jobs = { delay_seconds = 901 } }
  }

  expect_failures = [var.queues]
}

run "wait_above_twenty_seconds" {
  command = plan

  variables {
    queues = { jobs = { receive_wait_seconds = 21 } }
  }

  expect_failures = [var.queues]
}

run "messages_above_the_limit" {
  command = plan

  variables {
    queues = { jobs = { max_message_bytes = 262145 } }
  }

  expect_failures = [var.queues]
}

run "deduplication_without_fifo" {
  command = plan

  variables {
    queues = { jobs = { content_based_deduplication = true } }
  }

  expect_failures = [var.queues]
}

run "a_name_too_long_with_hyphens" {
  command = plan

  variables {
    queues = { a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-pqr = {} }
  }

  expect_failures = [var.queues]
}

run "half_a_receipt" {
  command = plan

  variables {
    queues = { jobs = { max_receive_count = 2.5 } }
  }

  expect_failures = [var.queues]
}
