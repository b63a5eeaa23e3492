# Plans on a mocked provider: what is made, and what each option changes.

mock_provider "aws" {
  # So that a plan knows them, and no run needs to apply.
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      arn         = "arn:aws:rds:eu-west-1:123456789012:db:acme-staging-database"
      address     = "acme-staging-database.abc.eu-west-1.rds.amazonaws.com"
      resource_id = "db-ABCDEFGH"
      master_user_secret = [{
        kms_key_id    = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
        secret_arn    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1"
        secret_status = "active"
      }]
    }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_db_proxy" {
    defaults = { endpoint = "acme-staging-database.proxy-abc.eu-west-1.rds.amazonaws.com" }
  }
}

override_resource {
  target          = aws_security_group.this
  override_during = plan
  values          = { id = "sg-database" }
}

override_resource {
  target          = aws_security_group.proxy
  override_during = plan
  values          = { id = "sg-proxy" }
}

variables {
  name              = "acme-staging"
  region            = "eu-west-1"
  vpc_id            = "vpc-1"
  subnet_group_name = "acme-staging-database"
  password          = "a-password-long-enough"
  password_version  = 1
}

run "defaults_are_safe" {
  command = plan

  assert {
    condition     = aws_db_instance.this.engine == "postgres" && aws_db_instance.this.engine_version == "18" && aws_db_parameter_group.this.family == "postgres18"
    error_message = "PostgreSQL 18 is the default"
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == aws_kms_key.this[0].arn && aws_kms_key.this[0].enable_key_rotation
    error_message = "storage must be encrypted by the module's own rotating key"
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.vpc_security_group_ids == toset(["sg-database"]) && output.security_group_id == "sg-database"
    error_message = "the database has no public address and one security group"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.security_group) + length(aws_vpc_security_group_ingress_rule.cidr_block) == 0
    error_message = "nobody may connect unless named"
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "acme-staging-database-final" && aws_db_instance.this.copy_tags_to_snapshot
    error_message = "deletion is refused, and would leave a tagged snapshot"
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 7 && !aws_db_instance.this.delete_automated_backups && aws_db_instance.this.multi_az
    error_message = "a standby, and a week of backups that outlive the database"
  }

  assert {
    condition     = aws_db_instance.this.storage_type == "gp3" && aws_db_instance.this.allocated_storage == 50 && aws_db_instance.this.max_allocated_storage == 500
    error_message = "gp3 storage grows up to a ceiling"
  }

  assert {
    condition     = aws_db_instance.this.performance_insights_enabled && aws_db_instance.this.performance_insights_kms_key_id == aws_kms_key.this[0].arn && aws_db_instance.this.performance_insights_retention_period == 7
    error_message = "Performance Insights is on and encrypted by the same key"
  }

  assert {
    condition     = aws_db_instance.this.monitoring_interval == 60 && aws_db_instance.this.monitoring_role_arn == aws_iam_role.monitoring[0].arn
    error_message = "enhanced monitoring is on, with its role"
  }

  assert {
    condition     = jsondecode(aws_iam_role.monitoring[0].assume_role_policy).Statement[0].Condition.StringEquals == { "aws:SourceAccount" = "123456789012" }
    error_message = "only RDS on behalf of this account may take the monitoring role"
  }

  assert {
    condition     = aws_db_instance.this.iam_database_authentication_enabled && aws_db_instance.this.auto_minor_version_upgrade && aws_db_instance.this.ca_cert_identifier == "rds-ca-rsa2048-g1" && !aws_db_instance.this.apply_immediately
    error_message = "IAM log-in and minor upgrades are on, changes wait for the window"
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_log_group.this)) == toset(["instance/acme-staging-database/postgresql", "instance/acme-staging-database/upgrade"]) && alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == aws_kms_key.this[0].arn && group.retention_in_days == 90])
    error_message = "logs are exported to groups that are encrypted and expire"
  }

  assert {
    condition     = length(aws_db_instance.replica) + length(aws_db_proxy.this) + length(aws_iam_role.proxy) == 0 && output.proxy_endpoint == null && output.proxy_security_group_id == null
    error_message = "replicas and a proxy are made on demand only"
  }

  assert {
    condition     = output.endpoint == "acme-staging-database.abc.eu-west-1.rds.amazonaws.com" && output.port == 5432 && output.name == "app" && output.instance_id == "acme-staging-database" && output.master_secret_arn == null && output.master_username == "postgres"
    error_message = "the outputs say where the database is"
  }

  assert {
    condition     = output.iam_user_arn_prefix == "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGH/"
    error_message = "IAM log-in is granted by the instance's resource id"
  }
}

run "parameters_keep_tls_and_tenants_values" {
  command = plan

  assert {
    condition = { for parameter in aws_db_parameter_group.this.parameter : parameter.name => parameter.value } == {
      "log_autovacuum_min_duration"       = "10000"
      "log_checkpoints"                   = "1"
      "log_disconnections"                = "1"
      "log_error_verbosity"               = "terse"
      "log_lock_waits"                    = "1"
      "log_min_duration_statement"        = "-1"
      "log_min_error_statement"           = "panic"
      "log_parameter_max_length"          = "0"
      "log_parameter_max_length_on_error" = "0"
      "log_statement"                     = "none"
      "log_temp_files"                    = "10240"
      "max_locks_per_transaction"         = "512"
      "password_encryption"               = "scram-sha-256"
      "rds.accepted_password_auth_method" = "scram"
      "rds.force_ssl"                     = "1"
      "shared_preload_libraries"          = "pg_stat_statements"
      "track_io_timing"                   = "1"
    }
    error_message = "TLS is forced, statements and their values are not logged, locks suffice for many schemas"
  }

  assert {
    condition = toset([for parameter in aws_db_parameter_group.this.parameter : parameter.name if parameter.apply_method == "pending-reboot"]) == toset([
      "max_locks_per_transaction", "shared_preload_libraries",
    ])
    error_message = "what the server reads at its start only waits for a restart"
  }
}

run "parameters_can_be_added" {
  command = plan

  variables {
    parameters                = { "work_mem" = { value = "16384" }, "max_wal_senders" = { value = "20", apply_method = "pending-reboot" } }
    preload_libraries         = ["pg_cron"]
    max_locks_per_transaction = 1024
  }

  assert {
    condition = { for parameter in aws_db_parameter_group.this.parameter : parameter.name => "${parameter.value} ${parameter.apply_method}" if contains(["work_mem", "max_wal_senders", "shared_preload_libraries", "max_locks_per_transaction"], parameter.name) } == {
      "work_mem"                  = "16384 immediate"
      "max_wal_senders"           = "20 pending-reboot"
      "shared_preload_libraries"  = "pg_stat_statements,pg_cron pending-reboot"
      "max_locks_per_transaction" = "1024 pending-reboot"
    }
    error_message = "further parameters, libraries and lock slots are taken"
  }
}

run "named_clients_may_connect" {
  command = plan

  variables {
    allowed_security_group_ids = { api = "sg-api", worker = "sg-worker" }
    allowed_cidr_blocks        = { vpn = "10.9.0.0/16", office = "172.31.4.0/24", carrier = "100.64.0.0/10", lab = "192.168.1.1/32" }
    port                       = 6000
  }

  assert {
    condition = { for key, rule in aws_vpc_security_group_ingress_rule.security_group : key => "${rule.referenced_security_group_id} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" } == {
      api    = "sg-api tcp 6000-6000"
      worker = "sg-worker tcp 6000-6000"
    }
    error_message = "the named security groups may connect, on the port only"
  }

  assert {
    condition     = { for key, rule in aws_vpc_security_group_ingress_rule.cidr_block : key => rule.cidr_ipv4 } == { vpn = "10.9.0.0/16", office = "172.31.4.0/24", carrier = "100.64.0.0/10", lab = "192.168.1.1/32" } && alltrue([for rule in aws_vpc_security_group_ingress_rule.cidr_block : rule.from_port == 6000 && rule.to_port == 6000])
    error_message = "the named private blocks may connect, on the port only"
  }

  assert {
    condition     = aws_db_instance.this.port == 6000 && output.port == 6000
    error_message = "the port is the one asked for"
  }
}

run "rds_can_manage_the_password" {
  command = plan

  variables {
    password                    = null
    password_version            = null
    manage_master_user_password = true
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.master_user_secret_kms_key_id == aws_kms_key.this[0].arn && aws_db_instance.this.password_wo_version == null
    error_message = "RDS keeps the password in a secret encrypted by the module's key"
  }

  assert {
    condition     = output.master_secret_arn == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1"
    error_message = "the secret's ARN is an output"
  }
}

run "a_password_is_sent_by_its_version" {
  command = plan

  variables {
    password_version = 7
  }

  assert {
    condition     = aws_db_instance.this.password_wo_version == 7 && aws_db_instance.this.manage_master_user_password == null && aws_db_instance.this.password == null
    error_message = "the password goes by the write-only argument"
  }
}

run "replicas_follow_the_primary" {
  command = plan

  variables {
    replicas = { reports = { instance_class = "db.m7g.large" }, standby = { multi_az = true } }
  }

  assert {
    condition = { for key, replica in aws_db_instance.replica : key => "${replica.identifier} ${replica.instance_class} ${replica.multi_az}" } == {
      reports = "acme-staging-database-reports db.m7g.large false"
      standby = "acme-staging-database-standby db.t4g.medium true"
    }
    error_message = "each replica has its name and size"
  }

  assert {
    condition = alltrue([
      for replica in aws_db_instance.replica :
      replica.replicate_source_db == "acme-staging-database" && replica.storage_encrypted && !replica.publicly_accessible && replica.deletion_protection && replica.iam_database_authentication_enabled && replica.performance_insights_enabled && replica.monitoring_interval == 60
    ])
    error_message = "replicas are as safe as the primary"
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_log_group.this), "instance/acme-staging-database-reports/postgresql")
    error_message = "replicas' logs have groups too"
  }
}

run "a_proxy_with_given_secrets" {
  command = plan

  variables {
    allowed_security_group_ids = { api = "sg-api" }
    allowed_cidr_blocks        = { vpn = "10.9.0.0/16" }
    port                       = 6000
    proxy = {
      subnet_ids          = ["subnet-a", "subnet-b"]
      secret_arns         = { runtime = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runtime" }
      secret_kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/secrets"]
      iam_required        = true
    }
  }

  assert {
    condition     = aws_db_proxy.this[0].require_tls && !aws_db_proxy.this[0].debug_logging && aws_db_proxy.this[0].engine_family == "POSTGRESQL"
    error_message = "the proxy takes TLS only and logs no statements"
  }

  assert {
    condition = [for auth in aws_db_proxy.this[0].auth : "${auth.secret_arn} ${auth.iam_auth} ${auth.client_password_auth_type}"] == [
      "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runtime REQUIRED POSTGRES_SCRAM_SHA_256",
    ]
    error_message = "logins come from the given secret, by SCRAM, and with IAM if asked"
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.proxy[0].policy).Statement : { action = statement.Action, resource = statement.Resource }] == [
      { action = "secretsmanager:GetSecretValue", resource = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:runtime"] },
      { action = "kms:Decrypt", resource = ["arn:aws:kms:eu-west-1:123456789012:key/secrets"] },
    ]
    error_message = "the proxy reads those secrets and nothing else"
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.proxy_to_database[0].referenced_security_group_id == "sg-database" && aws_vpc_security_group_egress_rule.proxy_to_database[0].to_port == 6000 && aws_vpc_security_group_ingress_rule.database_from_proxy[0].referenced_security_group_id == "sg-proxy"
    error_message = "the proxy reaches the database and nothing else"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.proxy_security_group["api"].to_port == 5432 && aws_vpc_security_group_ingress_rule.proxy_cidr_block["vpn"].cidr_ipv4 == "10.9.0.0/16"
    error_message = "the same clients reach the proxy, which listens on 5432"
  }

  assert {
    condition     = aws_db_proxy_target.this[0].db_instance_identifier == "acme-staging-database" && contains(keys(aws_cloudwatch_log_group.this), "proxy/acme-staging-database") && output.proxy_endpoint != null
    error_message = "the proxy points at the primary and logs to an encrypted group"
  }
}

run "a_proxy_with_the_managed_secret" {
  command = plan

  variables {
    password                    = null
    password_version            = null
    manage_master_user_password = true
    proxy                       = { subnet_ids = ["subnet-a", "subnet-b"] }
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.proxy[0].policy).Statement : { action = statement.Action, resource = statement.Resource }] == [
      { action = "secretsmanager:GetSecretValue", resource = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1"] },
      { action = "kms:Decrypt", resource = [aws_kms_key.this[0].arn] },
    ]
    error_message = "the managed secret and its key are readable by the proxy"
  }

  assert {
    condition     = [for auth in aws_db_proxy.this[0].auth : auth.iam_auth] == ["DISABLED"]
    error_message = "IAM is not required of the proxy's clients unless asked for"
  }
}

run "a_key_of_ones_own" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/mine"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && length(aws_kms_alias.this) == 0 && aws_db_instance.this.kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/mine" && output.kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/mine"
    error_message = "a given key is used, and none is made"
  }
}

run "what_is_not_production_may_be_cheap" {
  command = plan

  variables {
    production            = false
    backup_retention_days = 1
    deletion_protection   = false
    skip_final_snapshot   = true
    multi_az              = false
    monitoring_interval   = 0
    performance_insights  = { enabled = false }
    log_exports           = []
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 1 && !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == null && aws_db_instance.this.delete_automated_backups && !aws_db_instance.this.multi_az
    error_message = "outside production each safety can be given up by name"
  }

  assert {
    condition     = length(aws_iam_role.monitoring) == 0 && !aws_db_instance.this.performance_insights_enabled && length(aws_cloudwatch_log_group.this) == 0
    error_message = "monitoring, Performance Insights and logs can be turned off"
  }
}

run "sizes_and_insights" {
  command = plan

  variables {
    storage              = { allocated_gib = 400, max_gib = 1000, iops = 12000, throughput = 500 }
    performance_insights = { advanced = true, retention_days = 465 }
    engine_version       = "15.9"
    blue_green_update    = true
  }

  assert {
    condition     = aws_db_instance.this.iops == 12000 && aws_db_instance.this.storage_throughput == 500 && aws_db_instance.this.database_insights_mode == "advanced" && aws_db_instance.this.performance_insights_retention_period == 465
    error_message = "sizes and the advanced mode are taken"
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres15" && aws_db_instance.this.blue_green_update[0].enabled
    error_message = "the floor is PostgreSQL 15, and updates may go by blue and green"
  }
}

run "a_snapshot_can_be_restored" {
  command = plan

  variables {
    snapshot_identifier       = "acme-before"
    final_snapshot_identifier = "acme-staging-second"
  }

  assert {
    condition     = aws_db_instance.this.snapshot_identifier == "acme-before" && aws_db_instance.this.final_snapshot_identifier == "acme-staging-second"
    error_message = "the database begins as the snapshot"
  }
}

run "the_latest_moment_can_be_restored" {
  command = plan

  variables {
    restore_to_point_in_time = { source_instance_id = "acme-old" }
  }

  assert {
    condition     = aws_db_instance.this.restore_to_point_in_time[0].source_db_instance_identifier == "acme-old" && aws_db_instance.this.restore_to_point_in_time[0].use_latest_restorable_time
    error_message = "the database begins as the other one is now"
  }
}

run "a_moment_can_be_restored" {
  command = plan

  variables {
    restore_to_point_in_time = { source_instance_id = "acme-old", time = "2026-11-24T09:45:00Z" }
  }

  assert {
    condition     = aws_db_instance.this.restore_to_point_in_time[0].restore_time == "2026-11-24T09:45:00Z" && aws_db_instance.this.restore_to_point_in_time[0].use_latest_restorable_time == null
    error_message = "the database begins as the other one was then"
  }
}
