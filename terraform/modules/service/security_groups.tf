# A security group for each workload: in only from the load balancer, out only as its egress states.

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:ECS attaches it to the tasks it starts
  for_each = local.workloads

  name        = "${var.name}-${each.key}"
  description = "Tasks of ${each.key}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

locals {
  egress = merge([
    for workload, settings in local.workloads : {
      for name, egress in settings.egress : "${workload} ${name}" => merge(egress, { name = name, workload = workload })
    }
  ]...)
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = local.egress

  security_group_id            = aws_security_group.this[each.value.workload].id
  description                  = each.value.name
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = each.value.cidr_ipv4
  cidr_ipv6                    = each.value.cidr_ipv6
  prefix_list_id               = each.value.prefix_list_id
  referenced_security_group_id = each.value.security_group_id
  tags                         = var.tags
}

# The other side of it, for a store that was made before the service was.
resource "aws_vpc_security_group_ingress_rule" "peer" {
  for_each = { for key, egress in local.egress : key => egress if egress.open_peer }

  security_group_id            = each.value.security_group_id
  description                  = "${var.name}-${each.value.workload}"
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = aws_security_group.this[each.value.workload].id
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = local.listening

  security_group_id            = aws_security_group.this[each.key].id
  description                  = "Load balancer"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = try(var.load_balancer.security_group_id, null)
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  for_each = local.listening

  security_group_id            = try(var.load_balancer.security_group_id, null)
  description                  = "${var.name}-${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = aws_security_group.this[each.key].id
  tags                         = var.tags
}
