# Who may log in: IAM users made here, which have no password, and users made elsewhere, whose passwords never pass here.

resource "aws_elasticache_user" "iam" {
  for_each = var.iam_users

  # IAM wants both to be the same.
  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = "valkey"
  access_string = each.value.access_string

  authentication_mode {
    type = "iam"
  }

  tags = var.tags
}

# A group of Valkey's needs no user called `default`, so that nobody is let in without a name.
resource "aws_elasticache_user_group" "this" {
  user_group_id = local.identifier
  engine        = "valkey"
  user_ids      = setunion(var.external_user_ids, [for user in aws_elasticache_user.iam : user.user_id])
  tags          = var.tags
}
