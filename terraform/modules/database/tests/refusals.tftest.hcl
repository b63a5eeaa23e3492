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
  name              = "acme-staging"
  region            = "eu-west-1"
  vpc_id            = "vpc-1"
  subnet_group_name = "acme-staging-database"
  password          = "a-password-long-enough"
  password_version  = 1
}

run "first_bad_value_of_each" {
  command = plan

  variables {
    # Name too long.
    name = "a23456789012345678901234567890123"
    # Expired certificate authority.
    ca_cert_identifier = "rds-ca-2019"
    # Server below the floor.
    engine_version = "14"
    # Class of ec2.
    instance_class = "t4g.medium"
    # Key that is no arn.
    kms_key_arn = "alias/mine"
    # Maintenance window without days.
    maintenance_window = "03:30-04:30"
    # Too few locks.
    max_locks_per_transaction = 63
    # Port below what rds takes.
    port = 80
    # Library that is there anyway.
    preload_libraries = ["pg_stat_statements"]
    # Volume too small.
    storage = { allocated_gib = 10 }
    # Everybody.
    allowed_cidr_blocks = { all = "0.0.0.0/0" }
    # Database of the servers own.
    database_name = "postgres"
    # Reserved master.
    master_username = "rdsadmin"
    # No password at all.
    password = null
    # Password without version.
    password_version = null
    # Proxy without a secret.
    proxy = { subnet_ids = ["subnet-a", "subnet-b"] }
    # No backups in production.
    backup_retention_days = 0
    # Backup window with days.
    backup_window = "sun:02:00-sun:03:00"
    # Production without deletion protection.
    deletion_protection = false
    # Final snapshot with two hyphens.
    final_snapshot_identifier = "a--b"
    # Replica with a long name.
    replicas = { a2345678901234567 = {} }
    # Time that is none.
    restore_to_point_in_time = { source_instance_id = "b", time = "yesterday" }
    # Production without a final snapshot.
    skip_final_snapshot = true
    # Log that postgresql has not.
    log_exports = ["slowquery"]
    # Retention cloudwatch knows not.
    log_retention_days = 42
    # Monitoring every two seconds.
    monitoring_interval = 2
    # Insights for ten days.
    performance_insights = { retention_days = 10 }
  }

  expect_failures = [
    var.name,
    var.ca_cert_identifier,
    var.engine_version,
    var.instance_class,
    var.kms_key_arn,
    var.maintenance_window,
    var.max_locks_per_transaction,
    var.port,
    var.preload_libraries,
    var.storage,
    var.allowed_cidr_blocks,
    var.database_name,
    var.master_username,
    var.password,
    var.password_version,
    var.proxy,
    var.backup_retention_days,
    var.backup_window,
    var.deletion_protection,
    var.final_snapshot_identifier,
    var.replicas,
    var.restore_to_point_in_time,
    var.skip_final_snapshot,
    var.log_exports,
    var.log_retention_days,
    var.monitoring_interval,
    var.performance_insights,
  ]
}

run "second_bad_value_of_each" {
  command = plan

  variables {
    # Name upper.
    name = "Acme"
    # Unknown certificate authority.
    ca_cert_identifier = "letsencrypt"
    # Minor below the floor.
    engine_version = "14.19"
    # Half a lock.
    max_locks_per_transaction = 64.5
    # Library with a comma.
    preload_libraries = ["pg_cron,evil"]
    # Ceiling too high.
    storage = { max_gib = 65537 }
    # Public block.
    allowed_cidr_blocks = { office = "203.0.113.0/24" }
    # Database with a hyphen.
    database_name = "my-app"
    # Master with postgres prefix.
    master_username = "pg_admin"
    # Short password.
    password = "short"
    # Proxy in one subnet.
    proxy = { subnet_ids = ["subnet-a", "subnet-a"], secret_arns = { app = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a" } }
    # Too few backups in production.
    backup_retention_days = 6
    # Sixteen replicas.
    replicas = { for number in range(16) : "r${number}" => {} }
    # Time of another zone.
    restore_to_point_in_time = { source_instance_id = "b", time = "2026-11-24T09:45:00+02:00" }
    # Advanced insights for a week.
    performance_insights = { advanced = true }
  }

  expect_failures = [
    var.name,
    var.ca_cert_identifier,
    var.engine_version,
    var.max_locks_per_transaction,
    var.preload_libraries,
    var.storage,
    var.allowed_cidr_blocks,
    var.database_name,
    var.master_username,
    var.password,
    var.proxy,
    var.backup_retention_days,
    var.replicas,
    var.restore_to_point_in_time,
    var.performance_insights,
  ]
}

run "third_bad_value_of_each" {
  command = plan

  variables {
    # Name two hyphens.
    name = "acme--staging"
    # Server that is no version.
    engine_version = "latest"
    # Ceiling without room.
    storage = { allocated_gib = 100, max_gib = 105 }
    # Private block beside a public one.
    allowed_cidr_blocks = { vpn = "10.0.0.0/16", office = "8.8.8.8/32" }
    # Password with an at sign.
    password = "a-password@long-enough"
    # Proxy with more than all connections.
    proxy = { subnet_ids = ["subnet-a", "subnet-b"], secret_arns = { app = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a" }, max_connections_percent = 101 }
    # More backups than rds keeps.
    backup_retention_days = 36
    # Advanced insights turned off.
    performance_insights = { advanced = true, enabled = false, retention_days = 465 }
  }

  expect_failures = [
    var.name,
    var.engine_version,
    var.storage,
    var.allowed_cidr_blocks,
    var.password,
    var.proxy,
    var.backup_retention_days,
    var.performance_insights,
  ]
}

run "fourth_bad_value_of_each" {
  command = plan

  variables {
    # Name at its end.
    name = "acme-"
    # Iops for a small volume.
    storage = { iops = 12000, throughput = 500 }
    # Block wider than a private range.
    allowed_cidr_blocks = { wide = "10.0.0.0/7" }
    # Password with a slash.
    password = "a-password/long-enough"
    # Proxy that waits for a day.
    proxy = { subnet_ids = ["subnet-a", "subnet-b"], secret_arns = { app = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a" }, idle_client_timeout = 86400 }
  }

  expect_failures = [
    var.name,
    var.storage,
    var.allowed_cidr_blocks,
    var.password,
    var.proxy,
  ]
}

run "fifth_bad_value_of_each" {
  command = plan

  variables {
    # Iops without throughput.
    storage = { allocated_gib = 400, iops = 12000 }
    # Block half outside 172.
    allowed_cidr_blocks = { wide = "172.16.0.0/11" }
  }

  expect_failures = [
    var.storage,
    var.allowed_cidr_blocks,
  ]
}

run "sixth_bad_value_of_each" {
  command = plan

  variables {
    # Block of ipv6.
    allowed_cidr_blocks = { all = "::/0" }
  }

  expect_failures = [
    var.allowed_cidr_blocks,
  ]
}

run "seventh_bad_value_of_each" {
  command = plan

  variables {
    # Block that is none.
    allowed_cidr_blocks = { vpn = "10.0.0.1" }
  }

  expect_failures = [
    var.allowed_cidr_blocks,
  ]
}

run "blue_green_with_managed_password" {
  command = plan

  variables {
    password                    = null
    password_version            = null
    manage_master_user_password = true
    blue_green_update           = true
  }

  expect_failures = [var.blue_green_update]
}

run "blue_green_with_replicas" {
  command = plan

  variables {
    blue_green_update = true
    replicas          = { one = {} }
  }

  expect_failures = [var.blue_green_update]
}

run "windows_that_overlap" {
  command = plan

  variables {
    maintenance_window = "sun:02:30-sun:03:30"
  }

  expect_failures = [aws_db_instance.this]
}

run "windows_that_overlap_around_midnight" {
  command = plan

  variables {
    backup_window      = "23:30-00:30"
    maintenance_window = "sun:00:00-sun:01:00"
  }

  expect_failures = [aws_db_instance.this]
}

run "maintenance_around_the_backup" {
  command = plan

  variables {
    maintenance_window = "sun:01:00-sun:04:00"
  }

  expect_failures = [aws_db_instance.this]
}

run "parameter_that_turns_tls_off" {
  command = plan

  variables {
    parameters = { "rds.force_ssl" = { value = "0" } }
  }

  expect_failures = [var.parameters]
}

run "parameter_that_logs_statements" {
  command = plan

  variables {
    parameters = { "log_statement" = { value = "all" } }
  }

  expect_failures = [var.parameters]
}

run "parameter_applied_in_no_known_way" {
  command = plan

  variables {
    parameters = { "work_mem" = { value = "4096", apply_method = "now" } }
  }

  expect_failures = [var.parameters]
}

run "two_passwords" {
  command = plan

  variables {
    manage_master_user_password = true
    password_version            = null
  }

  expect_failures = [var.password]
}

run "version_with_managed_password" {
  command = plan

  variables {
    password                    = null
    password_version            = 1
    manage_master_user_password = true
  }

  expect_failures = [var.password_version]
}

run "no_backups_anywhere" {
  command = plan

  variables {
    backup_retention_days = 0
    production            = false
  }

  expect_failures = [var.backup_retention_days]
}

run "replicas_with_managed_password" {
  command = plan

  variables {
    password                    = null
    password_version            = null
    manage_master_user_password = true
    replicas                    = { one = {} }
  }

  expect_failures = [var.replicas]
}

run "two_sources" {
  command = plan

  variables {
    snapshot_identifier      = "a"
    restore_to_point_in_time = { source_instance_id = "b" }
  }

  expect_failures = [var.restore_to_point_in_time]
}

run "a_replica_with_a_long_name_of_hyphens" {
  command = plan

  variables {
    replicas = { a-b-c-d-e-f-g-h-i = {} }
  }

  expect_failures = [var.replicas]
}

run "a_backup_window_too_short" {
  command = plan

  variables {
    backup_window = "02:00-02:29"
  }

  expect_failures = [aws_db_instance.this]
}

run "maintenance_too_short" {
  command = plan

  variables {
    maintenance_window = "sun:03:30-sun:03:59"
  }

  expect_failures = [aws_db_instance.this]
}

run "maintenance_of_six_days" {
  command = plan

  variables {
    maintenance_window = "sun:04:00-sat:04:10"
  }

  expect_failures = [aws_db_instance.this]
}

run "maintenance_of_a_day" {
  command = plan

  variables {
    maintenance_window = "sun:04:00-mon:04:00"
  }

  expect_failures = [aws_db_instance.this]
}

run "maintenance_over_night_and_the_backup" {
  command = plan

  variables {
    maintenance_window = "sun:22:00-mon:02:30"
  }

  expect_failures = [aws_db_instance.this]
}

run "a_server_that_does_not_exist" {
  command = plan

  variables {
    engine_version = "99"
  }

  expect_failures = [var.engine_version]
}

run "iops_below_what_the_volume_has_anyway" {
  command = plan

  variables {
    storage = { allocated_gib = 400, iops = 3000, throughput = 500 }
  }

  expect_failures = [var.storage]
}

run "throughput_below_what_the_volume_has_anyway" {
  command = plan

  variables {
    storage = { allocated_gib = 400, iops = 12000, throughput = 125 }
  }

  expect_failures = [var.storage]
}

run "a_block_that_begins_within_itself" {
  command = plan

  variables {
    allowed_cidr_blocks = { vpn = "10.0.0.1/16" }
  }

  expect_failures = [var.allowed_cidr_blocks]
}
