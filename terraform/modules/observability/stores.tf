# Databases and caches.

locals {
  database_alarms = merge(flatten([
    for name, database in var.databases : [
      {
        "database-${name}-cpu" = merge(local.database_defaults[name], {
          description = "Per cent of processor time that ${name} uses"
          metric      = "CPUUtilization"
          threshold   = database.cpu
        })
        "database-${name}-connections" = merge(local.database_defaults[name], {
          description = "Connections to ${name}"
          metric      = "DatabaseConnections"
          statistic   = "Maximum"
          threshold   = database.connections
        })
        "database-${name}-storage" = merge(local.database_defaults[name], {
          description = "Bytes that ${name} has left; a database without any stops"
          metric      = "FreeStorageSpace"
          statistic   = "Minimum"
          comparison  = "LessThanThreshold"
          threshold   = database.free_storage_gib * 1024 * 1024 * 1024
          critical    = true
        })
      },
      {
        for lag in database.replica_lag_seconds == null ? [] : [database.replica_lag_seconds] : "database-${name}-replica-lag" => merge(local.database_defaults[name], {
          description = "Seconds that ${name} is behind its source"
          metric      = "ReplicaLag"
          statistic   = "Maximum"
          threshold   = lag
          missing     = "breaching" # a replica that stopped reports nothing
        })
      },
    ]
  ])...)

  database_defaults = {
    for name, database in var.databases : name => merge(local.alarm_defaults, {
      namespace  = "AWS/RDS"
      statistic  = "Average"
      dimensions = { DBInstanceIdentifier = database.instance_id }
    })
  }

  cache_alarms = merge([
    for name, cache in var.caches : {
      "cache-${name}-cpu" = merge(local.cache_defaults[name], {
        description = "Per cent of its one processor that the engine of ${name} uses"
        metric      = "EngineCPUUtilization"
        statistic   = "Average"
        threshold   = cache.cpu
      })
      "cache-${name}-memory" = merge(local.cache_defaults[name], {
        description = "Per cent of its memory that ${name} uses"
        metric      = "DatabaseMemoryUsagePercentage"
        statistic   = "Maximum"
        threshold   = cache.memory
        critical    = true
      })
      "cache-${name}-evictions" = merge(local.cache_defaults[name], {
        description = "Keys a minute that ${name} drops for want of memory"
        metric      = "Evictions"
        statistic   = "Sum"
        threshold   = cache.evictions
      })
    }
  ]...)

  cache_defaults = {
    for name, cache in var.caches : name => merge(local.alarm_defaults, {
      namespace  = "AWS/ElastiCache"
      dimensions = { CacheClusterId = cache.cluster_id }
    })
  }
}
