# What a workload itself may do in AWS: nothing but what its policy_statements say.

resource "aws_iam_role" "task" {
  for_each = local.workloads

  name               = "${var.name}-${each.key}-task"
  description        = "What ${each.key} may do while it runs"
  assume_role_policy = local.assume_role_policy
  tags               = var.tags
}

locals {
  stated_statements = {
    for name, workload in local.workloads : name => [
      for statement in workload.policy_statements : {
        for key, value in {
          Sid      = statement.sid
          Effect   = "Allow"
          Action   = statement.actions
          Resource = statement.resources
          Condition = length(statement.conditions) == 0 ? null : {
            for test in distinct(statement.conditions[*].test) : test => {
              for condition in statement.conditions : condition.variable => condition.values if condition.test == test
            }
          }
        } : key => value if value != null
      }
    ]
  }

  exec_statements = {
    for name, workload in local.workloads : name => [
      for cluster in workload.execute_command_enabled ? [var.cluster] : [] : [
        {
          # Channels of Session Manager have no resource-level permission.
          Sid      = "ExecChannels"
          Effect   = "Allow"
          Action   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
          Resource = ["*"]
        },
        {
          Sid      = "ExecLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
          Resource = ["${cluster.exec_log_group_arn}:*"]
        },
        {
          # It lists groups and has no resource-level permission that names one.
          Sid      = "ExecLogGroups"
          Effect   = "Allow"
          Action   = ["logs:DescribeLogGroups"]
          Resource = ["*"]
        },
        {
          Sid      = "ExecKey"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [cluster.exec_kms_key_arn]
        },
      ]
    ]
  }
}

resource "aws_iam_role_policy" "task" {
  for_each = { for name, workload in local.workloads : name => workload if length(workload.policy_statements) > 0 || workload.execute_command_enabled }

  name = "run"
  role = aws_iam_role.task[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.stated_statements[each.key], local.exec_statements[each.key]...)
  })
}
