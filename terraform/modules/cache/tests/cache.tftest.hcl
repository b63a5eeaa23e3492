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

  mock_resource "aws_security_group" {
    defaults = { id = "sg-cache" }
  }

  mock_resource "aws_elasticache_user" {
    defaults = { arn = "arn:aws:elasticache:eu-west-1:123456789012:user:acme-staging-api" }
  }

  mock_resource "aws_elasticache_replication_group" {
    defaults = {
      arn                      = "arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:acme-staging-cache"
      primary_endpoint_address = "primary.example"
      reader_endpoint_address  = "reader.example"
    }
  }

  mock_resource "aws_elasticache_serverless_cache" {
    defaults = {
      arn             = "arn:aws:elasticache:eu-west-1:123456789012:serverlesscache:acme-staging-cache"
      endpoint        = [{ address = "serverless.example", port = 6379 }]
      reader_endpoint = [{ address = "serverless.example", port = 6380 }]
    }
  }
}

variables {
  name       = "acme-staging"
  region     = "eu-west-1"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  iam_users  = { api = {} }
}

run "defaults_are_safe" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this[0].engine == "valkey" && aws_elasticache_replication_group.this[0].engine_version == "8.1" && aws_elasticache_parameter_group.this[0].family == "valkey8"
    error_message = "Valkey 8 is the default"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_enabled && aws_elasticache_replication_group.this[0].transit_encryption_mode == "required" && aws_elasticache_replication_group.this[0].at_rest_encryption_enabled == "true" && aws_elasticache_replication_group.this[0].kms_key_id == aws_kms_key.this[0].arn && aws_kms_key.this[0].enable_key_rotation
    error_message = "TLS is required, and data at rest is encrypted by the module's own rotating key"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].automatic_failover_enabled && aws_elasticache_replication_group.this[0].multi_az_enabled && aws_elasticache_replication_group.this[0].num_cache_clusters == 2
    error_message = "a replica in another zone takes over"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].user_group_ids == toset(["acme-staging-cache"]) && aws_elasticache_replication_group.this[0].auth_token == null
    error_message = "only the group's users log in, and no token is shared"
  }

  assert {
    condition     = aws_elasticache_user_group.this.engine == "valkey" && aws_elasticache_user_group.this.user_ids == toset(["acme-staging-api"])
    error_message = "the group holds the IAM user and no `default`"
  }

  assert {
    condition     = aws_elasticache_user.iam["api"].user_id == aws_elasticache_user.iam["api"].user_name && aws_elasticache_user.iam["api"].authentication_mode[0].type == "iam" && aws_elasticache_user.iam["api"].passwords == null && aws_elasticache_user.iam["api"].access_string == "on ~* &* +@all -@dangerous +info"
    error_message = "an IAM user has one name, no password, and may do nothing dangerous"
  }

  assert {
    condition     = [for parameter in aws_elasticache_parameter_group.this[0].parameter : "${parameter.name} ${parameter.value}"] == ["maxmemory-policy noeviction"]
    error_message = "a full cache refuses writes, and drops nothing"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].snapshot_retention_limit == 7 && aws_elasticache_replication_group.this[0].final_snapshot_identifier == "acme-staging-cache-final"
    error_message = "snapshots are kept for a week, and the last one for good"
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_log_group.this)) == toset(["engine-log"]) && aws_cloudwatch_log_group.this["engine-log"].kms_key_id == aws_kms_key.this[0].arn && aws_cloudwatch_log_group.this["engine-log"].retention_in_days == 90
    error_message = "the engine's log is encrypted and expires; slow commands, which hold tenants' values, are not logged"
  }

  assert {
    condition     = [for delivery in aws_elasticache_replication_group.this[0].log_delivery_configuration : "${delivery.log_type} ${delivery.destination_type} ${delivery.log_format} ${delivery.destination}"] == ["engine-log cloudwatch-logs json /aws/elasticache/acme-staging-cache/engine-log"]
    error_message = "the log is delivered to its group"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.this) == 0 && length(aws_elasticache_serverless_cache.this) == 0
    error_message = "nobody may connect unless named, and there is one cache"
  }

  assert {
    condition     = output.endpoint == "primary.example" && output.reader_endpoint == "reader.example" && output.port == 6379 && output.security_group_id == "sg-cache" && output.id == "acme-staging-cache" && output.member_cluster_ids == tolist(["acme-staging-cache-001", "acme-staging-cache-002"])
    error_message = "the outputs say where the cache is"
  }

  assert {
    condition = jsondecode(output.connect_policy_documents["api"]).Statement == [{
      Sid    = "ConnectToCache"
      Effect = "Allow"
      Action = "elasticache:Connect"
      Resource = [
        "arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:acme-staging-cache",
        "arn:aws:elasticache:eu-west-1:123456789012:user:acme-staging-api",
      ]
    }]
    error_message = "a role may log in to this cache as this user"
  }
}

run "users_with_passwords_are_made_elsewhere" {
  command = plan

  variables {
    iam_users         = {}
    external_user_ids = ["acme-staging-app", "acme-staging-reader"]
  }

  assert {
    condition     = length(aws_elasticache_user.iam) == 0 && aws_elasticache_user_group.this.user_ids == toset(["acme-staging-app", "acme-staging-reader"]) && length(output.connect_policy_documents) == 0
    error_message = "they join the group by their ids"
  }
}

run "users_of_both_kinds" {
  command = plan

  variables {
    iam_users         = { metrics = { access_string = "on ~* -@all +info" } }
    external_user_ids = ["acme-staging-app"]
  }

  assert {
    condition     = aws_elasticache_user_group.this.user_ids == toset(["acme-staging-app", "acme-staging-metrics"]) && aws_elasticache_user.iam["metrics"].access_string == "on ~* -@all +info"
    error_message = "both kinds stand in one group"
  }
}

run "named_clients_may_connect" {
  command = plan

  variables {
    allowed_security_group_ids = { api = "sg-api" }
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this["api"].referenced_security_group_id == "sg-api" && aws_vpc_security_group_ingress_rule.this["api"].from_port == 6379 && aws_vpc_security_group_ingress_rule.this["api"].to_port == 6379
    error_message = "the named security groups may connect, on the port only"
  }
}

run "what_is_not_production_may_be_cheap" {
  command = plan

  variables {
    production              = false
    nodes                   = { replicas = 0, type = "cache.t4g.micro" }
    snapshot_retention_days = 0
    skip_final_snapshot     = true
    apply_immediately       = true
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].num_cache_clusters == 1 && !aws_elasticache_replication_group.this[0].automatic_failover_enabled && !aws_elasticache_replication_group.this[0].multi_az_enabled && aws_elasticache_replication_group.this[0].node_type == "cache.t4g.micro"
    error_message = "one node has no failover"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].snapshot_retention_limit == 0 && aws_elasticache_replication_group.this[0].final_snapshot_identifier == null && aws_elasticache_replication_group.this[0].apply_immediately
    error_message = "outside production each safety can be given up by name"
  }
}

run "logs_parameters_and_key_of_ones_own" {
  command = plan

  variables {
    slow_log_enabled          = true
    parameters                = { "slowlog-log-slower-than" = "20000" }
    kms_key_arn               = "arn:aws:kms:eu-west-1:123456789012:key/mine"
    final_snapshot_identifier = "acme-last"
    engine_version            = "9.0"
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_log_group.this)) == toset(["engine-log", "slow-log"]) && length(aws_elasticache_replication_group.this[0].log_delivery_configuration) == 2 && output.log_group_names == tolist(["/aws/elasticache/acme-staging-cache/engine-log", "/aws/elasticache/acme-staging-cache/slow-log"])
    error_message = "slow commands are logged when asked for"
  }

  assert {
    condition     = { for parameter in aws_elasticache_parameter_group.this[0].parameter : parameter.name => parameter.value } == { "maxmemory-policy" = "noeviction", "slowlog-log-slower-than" = "20000" } && aws_elasticache_parameter_group.this[0].family == "valkey9"
    error_message = "further parameters are taken, in the version's family"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_elasticache_replication_group.this[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/mine" && aws_elasticache_replication_group.this[0].final_snapshot_identifier == "acme-last"
    error_message = "a given key is used, and none is made"
  }
}

run "serverless_takes_the_place_of_nodes" {
  command = plan

  variables {
    allowed_security_group_ids = { api = "sg-api" }
    serverless                 = { max_storage_gb = 20 }
  }

  assert {
    condition     = length(aws_elasticache_replication_group.this) + length(aws_elasticache_parameter_group.this) + length(aws_elasticache_subnet_group.this) + length(aws_cloudwatch_log_group.this) == 0
    error_message = "no nodes, and what belongs to them"
  }

  assert {
    condition     = aws_elasticache_serverless_cache.this[0].engine == "valkey" && aws_elasticache_serverless_cache.this[0].major_engine_version == "8" && aws_elasticache_serverless_cache.this[0].kms_key_id == aws_kms_key.this[0].arn && aws_elasticache_serverless_cache.this[0].user_group_id == "acme-staging-cache"
    error_message = "it is encrypted and has the same users"
  }

  assert {
    condition     = aws_elasticache_serverless_cache.this[0].snapshot_retention_limit == 7 && aws_elasticache_serverless_cache.this[0].daily_snapshot_time == "03:00" && aws_elasticache_serverless_cache.this[0].cache_usage_limits[0].data_storage[0].maximum == 20 && aws_elasticache_serverless_cache.this[0].cache_usage_limits[0].ecpu_per_second[0].maximum == 5000
    error_message = "it has snapshots and ceilings"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this["api"].to_port == 6380 && output.endpoint == "serverless.example" && output.reader_endpoint == "serverless.example" && length(output.member_cluster_ids) == 0
    error_message = "reads go to a port of their own"
  }
}
