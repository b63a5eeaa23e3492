# The parameter group: TLS only, no statement values in the log, room for many schemas.

locals {
  # Tenants' values stand in statements, in the DETAIL of errors and in bind parameters, so none of the three is
  # logged. Who was connected, from where and for how long is told when a session ends (`log_connections` became a
  # list in PostgreSQL 18 and would say the same of its begin); refused log-ins are always logged.
  fixed_parameters = {
    "log_autovacuum_min_duration"       = { value = "10000", apply_method = "immediate" }
    "log_checkpoints"                   = { value = "1", apply_method = "immediate" }
    "log_disconnections"                = { value = "1", apply_method = "immediate" }
    "log_error_verbosity"               = { value = "terse", apply_method = "immediate" }
    "log_lock_waits"                    = { value = "1", apply_method = "immediate" }
    "log_min_duration_statement"        = { value = "-1", apply_method = "immediate" }
    "log_min_error_statement"           = { value = "panic", apply_method = "immediate" }
    "log_parameter_max_length"          = { value = "0", apply_method = "immediate" }
    "log_parameter_max_length_on_error" = { value = "0", apply_method = "immediate" }
    "log_statement"                     = { value = "none", apply_method = "immediate" }
    "log_temp_files"                    = { value = "10240", apply_method = "immediate" }
    "max_locks_per_transaction"         = { value = tostring(var.max_locks_per_transaction), apply_method = "pending-reboot" }
    "password_encryption"               = { value = "scram-sha-256", apply_method = "immediate" }
    "rds.accepted_password_auth_method" = { value = "scram", apply_method = "immediate" }
    "rds.force_ssl"                     = { value = "1", apply_method = "immediate" }
    "shared_preload_libraries"          = { value = join(",", concat(["pg_stat_statements"], var.preload_libraries)), apply_method = "pending-reboot" }
    "track_io_timing"                   = { value = "1", apply_method = "immediate" }
  }

  parameters = merge(var.parameters, local.fixed_parameters)
}

resource "aws_db_parameter_group" "this" {
  # The family is in the name, so that the next major version's group can stand beside this one during an upgrade.
  name        = "${local.identifier}-${local.family}"
  description = "PostgreSQL of ${var.name}"
  family      = local.family

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name         = parameter.key
      value        = parameter.value.value
      apply_method = parameter.value.apply_method
    }
  }

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}
