# What a deployment may do: give the services that exist another image, and run the tasks that exist.
# Roles, networks and stores are changed by a person: a workflow that could write roles could write its own.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  ecs        = "arn:${local.partition}:ecs:${var.region}:${local.account_id}"

  # Configurations, not contents: neither reads a secret's value, an object or a table.
  reading_policy_arns = [
    "arn:${local.partition}:iam::aws:policy/SecurityAudit",
    "arn:${local.partition}:iam::aws:policy/job-function/ViewOnlyAccess",
  ]

  # What a plan reads of the stack service, and the two above do not give.
  reading_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadTagsOfScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:ListTagsForResource"]
        Resource = "arn:${local.partition}:application-autoscaling:${var.region}:${local.account_id}:scalable-target/*"
      },
    ]
  })

  deploy_policies = {
    for environment in var.environments : environment => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          # AWS knows no resource for these three, and denies them where a policy names one. What keeps a definition
          # within the environment are the roles that may be given to it, and the services and cluster it may run in.
          Sid      = "RegisterDefinitions"
          Effect   = "Allow"
          Action   = ["ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"]
          Resource = "*"
        },
        {
          Sid      = "TagDefinitions"
          Effect   = "Allow"
          Action   = ["ecs:TagResource"]
          Resource = "${local.ecs}:task-definition/${var.slug}-${environment}-*:*"
        },
        {
          Sid      = "RollOut"
          Effect   = "Allow"
          Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
          Resource = "${local.ecs}:service/${var.slug}-${environment}/*"
        },
        {
          Sid       = "RunTasks"
          Effect    = "Allow"
          Action    = ["ecs:RunTask"]
          Resource  = "${local.ecs}:task-definition/${var.slug}-${environment}-*:*"
          Condition = { ArnEquals = { "ecs:cluster" = "${local.ecs}:cluster/${var.slug}-${environment}" } }
        },
        {
          Sid      = "WatchTasks"
          Effect   = "Allow"
          Action   = ["ecs:DescribeTasks", "ecs:StopTask"]
          Resource = "${local.ecs}:task/${var.slug}-${environment}/*"
        },
        {
          Sid       = "GiveTasksTheirRoles"
          Effect    = "Allow"
          Action    = ["iam:PassRole"]
          Resource  = "arn:${local.partition}:iam::${local.account_id}:role/${var.slug}-${environment}-*"
          Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
        },
        {
          Sid      = "ReadTaskLogs"
          Effect   = "Allow"
          Action   = ["logs:GetLogEvents"]
          Resource = "arn:${local.partition}:logs:${var.region}:${local.account_id}:log-group:/ecs/${var.slug}-${environment}/*"
        },
      ]
    })
  }
}
