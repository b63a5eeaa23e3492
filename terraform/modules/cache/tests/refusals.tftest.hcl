# What is refused, each with a message that says what to do.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  name       = "acme-staging"
  region     = "eu-west-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  iam_users  = { api = {} }
}

run "first_bad_value_of_each" {
  command = plan

  variables {
    # Name too long.
    name = "a23456789012345678901234567890123"
    # One subnet.
    subnet_ids = ["subnet-a", "subnet-a"]
    # Engine below the floor.
    engine_version = "7.2"
    # Final snapshot with two hyphens.
    final_snapshot_identifier = "a--b"
    # Key that is no arn.
    kms_key_arn = "alias/mine"
    # Retention cloudwatch knows not.
    log_retention_days = 42
    # Maintenance window without days.
    maintenance_window = "03:30-04:30"
    # Too many replicas.
    nodes = { replicas = 6 }
    # Eviction.
    parameters = { "maxmemory-policy" = "allkeys-lru" }
    # Production without a final snapshot.
    skip_final_snapshot = true
    # Snapshots for too long.
    snapshot_retention_days = 36
    # Snapshot window with days.
    snapshot_window = "sun:02:00-sun:03:00"
  }

  expect_failures = [
    var.name,
    var.subnet_ids,
    var.engine_version,
    var.final_snapshot_identifier,
    var.kms_key_arn,
    var.log_retention_days,
    var.maintenance_window,
    var.nodes,
    var.parameters,
    var.skip_final_snapshot,
    var.snapshot_retention_days,
    var.snapshot_window,
  ]
}

run "second_bad_value_of_each" {
  command = plan

  variables {
    # Name upper.
    name = "Acme"
    # Engine without minor.
    engine_version = "8"
    # Half a replica.
    nodes = { replicas = 1.5 }
    # Production without snapshots.
    snapshot_retention_days = 0
  }

  expect_failures = [
    var.name,
    var.engine_version,
    var.nodes,
    var.snapshot_retention_days,
  ]
}

run "third_bad_value_of_each" {
  command = plan

  variables {
    # Name two hyphens.
    name = "acme--staging"
    # Node of ec2.
    nodes = { type = "t4g.small" }
  }

  expect_failures = [
    var.name,
    var.nodes,
  ]
}

run "fourth_bad_value_of_each" {
  command = plan

  variables {
    # Name at its end.
    name = "acme-"
  }

  expect_failures = [
    var.name,
  ]
}

run "serverless_in_four_subnets" {
  command = plan

  variables {
    serverless = {}
    subnet_ids = ["subnet-a", "subnet-b", "subnet-c", "subnet-d"]
  }

  expect_failures = [var.subnet_ids]
}

run "nobody_to_log_in" {
  command = plan

  variables {
    iam_users = {}
  }

  expect_failures = [var.external_user_ids]
}

run "the_user_default" {
  command = plan

  variables {
    external_user_ids = ["default"]
  }

  expect_failures = [var.external_user_ids]
}

run "user_id_with_capitals" {
  command = plan

  variables {
    external_user_ids = ["App"]
  }

  expect_failures = [var.external_user_ids]
}

run "user_with_a_long_name" {
  command = plan

  variables {
    iam_users = { a234567890123456789012345678 = {} }
  }

  expect_failures = [var.iam_users]
}

run "user_with_a_password" {
  command = plan

  variables {
    iam_users = { api = { access_string = "on >secret ~* +@all" } }
  }

  expect_failures = [var.iam_users]
}

run "user_without_a_password" {
  command = plan

  variables {
    iam_users = { api = { access_string = "on nopass ~* +@all" } }
  }

  expect_failures = [var.iam_users]
}

run "user_neither_on_nor_off" {
  command = plan

  variables {
    iam_users = { api = { access_string = "~* +@all" } }
  }

  expect_failures = [var.iam_users]
}

run "windows_that_overlap" {
  command = plan

  variables {
    maintenance_window = "sun:03:30-sun:04:30"
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "windows_that_overlap_around_midnight" {
  command = plan

  variables {
    snapshot_window    = "23:30-00:30"
    maintenance_window = "sun:00:00-sun:01:00"
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "nodes_and_serverless" {
  command = plan

  variables {
    nodes      = {}
    serverless = {}
  }

  expect_failures = [var.nodes]
}

run "production_without_a_replica" {
  command = plan

  variables {
    nodes = { replicas = 0 }
  }

  expect_failures = [var.nodes]
}

run "parameters_of_serverless" {
  command = plan

  variables {
    serverless = {}
    parameters = { "timeout" = "300" }
  }

  expect_failures = [var.parameters]
}

run "serverless_without_room" {
  command = plan

  variables {
    serverless = { max_storage_gb = 0 }
  }

  expect_failures = [var.serverless]
}

run "serverless_without_power" {
  command = plan

  variables {
    serverless = { max_ecpu_per_second = 10 }
  }

  expect_failures = [var.serverless]
}

run "slow_log_of_serverless" {
  command = plan

  variables {
    serverless       = {}
    slow_log_enabled = true
  }

  expect_failures = [var.slow_log_enabled]
}

run "a_user_id_too_long_with_hyphens" {
  command = plan

  variables {
    external_user_ids = ["a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-uv"]
  }

  expect_failures = [var.external_user_ids]
}

run "a_snapshot_window_too_short" {
  command = plan

  variables {
    snapshot_window = "03:00-03:59"
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "maintenance_too_short" {
  command = plan

  variables {
    maintenance_window = "sun:05:00-sun:05:30"
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "maintenance_of_six_days" {
  command = plan

  variables {
    maintenance_window = "sun:06:00-sat:06:10"
  }

  expect_failures = [aws_elasticache_replication_group.this]
}
