# The roles, who takes them and what they may.

locals {
  role_policies = merge([
    for key, role in var.roles : { for name, document in role.policies : "${key}/${name}" => { role = key, name = name, document = document } }
  ]...)

  role_attachments = merge([
    for key, role in var.roles : { for arn in role.managed_policy_arns : "${key}/${arn}" => { role = key, arn = arn } }
  ]...)
}

resource "aws_iam_role" "this" {
  for_each = var.roles

  name                 = "${var.name}-${each.key}"
  description          = coalesce(each.value.description, "Taken by GitHub workflows: ${each.key}")
  max_session_duration = each.value.max_session_duration
  permissions_boundary = each.value.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = local.audience
          "${local.issuer}:sub" = sort(distinct(each.value.subjects))
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.role_policies

  role   = aws_iam_role.this[each.value.role].name
  name   = each.value.name
  policy = each.value.document
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = local.role_attachments

  role       = aws_iam_role.this[each.value.role].name
  policy_arn = each.value.arn
}
