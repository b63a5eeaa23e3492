# What is refused, each with a message that says what to do.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  mode       = "ec2"
  name       = "acme-staging"
  region     = "eu-west-1"
  vpc_id     = "vpc-1"
  subnet_id  = "subnet-1"
  secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-staging/timescale"
}

run "first_bad_value_of_each" {
  command = plan

  variables {
    # Name too long.
    name = "a23456789012345678901234567890123"
    # Region that is a zone.
    region = "eu-west-1a"
    # Image that is none.
    ami_id = "debian"
    # Database of the servers own.
    database_name = "postgres"
    # Egress that is no block.
    egress_cidr_blocks = { vpc = "10.0.0.1" }
    # Type of rds.
    instance_type = "large"
    # Key that is no arn.
    kms_key_arn = "alias/mine"
    # Key of the secret that is no arn.
    secret_kms_key_arn = "alias/mine"
    # Production without a final snapshot.
    skip_final_snapshot = true
    # Snapshot that is none.
    snapshot_id = "latest"
    # Server below the floor.
    versions = { postgresql = 14 }
    # Volume too small.
    volume = { size_gib = 5 }
    # Zone without its name.
    zone_id = "Z0MINE"
  }

  expect_failures = [
    var.name,
    var.region,
    var.ami_id,
    var.database_name,
    var.egress_cidr_blocks,
    var.instance_type,
    var.kms_key_arn,
    var.secret_kms_key_arn,
    var.skip_final_snapshot,
    var.snapshot_id,
    var.versions,
    var.volume,
    var.zone_id,
  ]
}

run "second_bad_value_of_each" {
  command = plan

  variables {
    # Name with capitals.
    name = "Acme"
    # Database with a quote.
    database_name = "a'b"
    # Half a version.
    versions = { postgresql = 17.5 }
    # Iops above what gp3 gives.
    volume = { iops = 17000 }
  }

  expect_failures = [
    var.name,
    var.database_name,
    var.versions,
    var.volume,
  ]
}

run "third_bad_value_of_each" {
  command = plan

  variables {
    # Version that floats.
    versions = { timescaledb = "2.26" }
    # Iops for a small volume.
    volume = { size_gib = 10, iops = 6000 }
  }

  expect_failures = [
    var.versions,
    var.volume,
  ]
}

run "fourth_bad_value_of_each" {
  command = plan

  variables {
    # Edition that is none.
    versions = { edition = "enterprise" }
    # Throughput for few iops.
    volume = { iops = 3000, throughput = 1000 }
  }

  expect_failures = [
    var.versions,
    var.volume,
  ]
}

run "fifth_bad_value_of_each" {
  command = plan

  variables {
    # Agent that floats.
    versions = { ssm_agent = "3.3" }
  }

  expect_failures = [
    var.versions,
  ]
}

run "sixth_bad_value_of_each" {
  command = plan

  variables {
    # Fingerprint cut short.
    versions = { repository_key_fingerprint = "759F18EDF47F24417" }
  }

  expect_failures = [
    var.versions,
  ]
}

run "mode_of_rds" {
  command = plan

  variables {
    mode       = "rds"
    vpc_id     = null
    subnet_id  = null
    secret_arn = null
  }

  expect_failures = [var.mode]
}

run "parameter_beside_an_image" {
  command = plan

  variables {
    ami_id            = "ami-0123456789abcdef0"
    ami_ssm_parameter = "/acme/image"
  }

  expect_failures = [var.ami_ssm_parameter]
}

run "parameter_that_is_no_path" {
  command = plan

  variables {
    ami_ssm_parameter = "acme"
  }

  expect_failures = [var.ami_ssm_parameter]
}

run "no_backups" {
  command = plan

  variables {
    backup = { retention_days = 0 }
  }

  expect_failures = [var.backup]
}

run "too_few_backups_in_production" {
  command = plan

  variables {
    backup = { retention_days = 6 }
  }

  expect_failures = [var.backup]
}

run "schedule_in_words" {
  command = plan

  variables {
    backup = { schedule = "daily" }
  }

  expect_failures = [var.backup]
}

run "secret_of_the_cloud_beside_a_server" {
  command = plan

  variables {
    cloud_dsn_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/url"
  }

  expect_failures = [var.cloud_dsn_secret_arn]
}

run "cloud_without_a_secret" {
  command = plan

  variables {
    mode       = "cloud"
    vpc_id     = null
    subnet_id  = null
    secret_arn = null
  }

  expect_failures = [var.cloud_dsn_secret_arn]
}

run "cloud_with_the_url_itself" {
  command = plan

  variables {
    mode                 = "cloud"
    vpc_id               = null
    subnet_id            = null
    secret_arn           = null
    cloud_dsn_secret_arn = "postgres://user:secret@host/db"
  }

  expect_failures = [var.cloud_dsn_secret_arn]
}

run "cloud_with_what_a_server_needs" {
  command = plan

  variables {
    mode                       = "cloud"
    cloud_dsn_secret_arn       = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/url"
    ami_id                     = "ami-0123456789abcdef0"
    allowed_security_group_ids = { api = "sg-1" }
    zone_id                    = "Z0MINE"
    zone_name                  = "internal.example.com"
  }

  expect_failures = [var.vpc_id, var.subnet_id, var.secret_arn, var.ami_id, var.allowed_security_group_ids, var.zone_name]
}

run "cloud_with_a_parameter" {
  command = plan

  variables {
    mode                 = "cloud"
    vpc_id               = null
    subnet_id            = null
    secret_arn           = null
    cloud_dsn_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/url"
    ami_ssm_parameter    = "/acme/image"
  }

  expect_failures = [var.ami_ssm_parameter]
}

run "server_without_what_it_needs" {
  command = plan

  variables {
    vpc_id     = null
    subnet_id  = null
    secret_arn = null
  }

  expect_failures = [var.vpc_id, var.subnet_id, var.secret_arn]
}

run "secret_that_is_the_password" {
  command = plan

  variables {
    secret_arn = "hunter2"
  }

  expect_failures = [var.secret_arn]
}

run "key_without_a_secret" {
  command = plan

  variables {
    mode                 = "cloud"
    vpc_id               = null
    subnet_id            = null
    secret_arn           = null
    cloud_dsn_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme/url"
    secret_kms_key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/secrets"
  }

  expect_failures = [var.secret_kms_key_arn]
}

run "zone_with_a_dot_at_its_end" {
  command = plan

  variables {
    zone_id   = "Z0MINE"
    zone_name = "internal.example.com."
  }

  expect_failures = [var.zone_name]
}

run "a_block_that_begins_within_itself" {
  command = plan

  variables {
    egress_cidr_blocks = { vpc = "10.0.0.1/16" }
  }

  expect_failures = [var.egress_cidr_blocks]
}
