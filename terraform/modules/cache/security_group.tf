# Who reaches the cache: the named security groups, and nobody else.

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:It is attached to the replication group or to the serverless cache
  name        = local.identifier
  description = "Valkey of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = local.identifier })
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.allowed_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Valkey from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = var.serverless == null ? 6379 : 6380 # where a serverless cache answers reads
  tags                         = var.tags
}
