# What services and one-off tasks have in common, under one name each.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_id  = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  kms_key_arn = coalesce(var.kms_key_arn, one(aws_kms_key.this[*].arn))

  workloads = merge(
    { for name, service in var.services : name => service },
    {
      for name, task in var.tasks : name => merge(task, {
        execute_command_enabled = false
        health_check            = null
        port                    = null
      })
    },
  )

  listening = { for name, service in var.services : name => service if service.listener != null }

  # CPU units -> least, most and step of memory in MiB that Fargate sells with them.
  fargate_sizes = {
    "512"   = [1024, 4096, 1024]
    "1024"  = [2048, 8192, 1024]
    "2048"  = [4096, 16384, 1024]
    "4096"  = [8192, 30720, 1024]
    "8192"  = [16384, 61440, 4096]
    "16384" = [32768, 122880, 8192]
  }
  memory_choices = merge(
    { "256" = [512, 1024, 2048] },
    { for cpu, size in local.fargate_sizes : cpu => range(size[0], size[1] + 1, size[2]) },
  )
}
