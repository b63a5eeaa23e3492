output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr_block" {
  description = "First IPv4 block of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "vpc_cidr_blocks" {
  description = "All IPv4 blocks of the VPC, the first one first."
  value       = local.vpc_blocks
}

output "vpc_ipv6_cidr_block" {
  description = "IPv6 block of the VPC; null without IPv6."
  value       = var.ipv6_enabled ? aws_vpc.this.ipv6_cidr_block : null
}

output "zones" {
  description = "The availability zones, in the order of the subnets."
  value       = keys(var.zones)
}

# Whoever takes a subnet waits for its way out, so that nothing starts in it before it can reach anything.
output "public_subnet_ids" {
  description = "Public subnets, by the order of their zones' names."
  value       = [for subnet in aws_subnet.public : subnet.id]
  depends_on  = [aws_route.public, aws_route.public_ipv6, aws_route_table_association.public]
}

output "private_subnet_ids" {
  description = "Private subnets, by the order of their zones' names."
  value       = [for subnet in aws_subnet.private : subnet.id]
  depends_on = [
    aws_route.private, aws_route.private_ipv6, aws_route_table_association.private,
    aws_vpc_endpoint.interface, aws_vpc_endpoint.s3, aws_vpc_security_group_ingress_rule.endpoints,
  ]
}

output "database_subnet_ids" {
  description = "Database subnets, by the order of their zones' names."
  value       = [for subnet in aws_subnet.database : subnet.id]
  depends_on  = [aws_route_table_association.database]
}

output "database_subnet_group_name" {
  description = "Group of the database subnets, for RDS."
  value       = aws_db_subnet_group.this.name
}

output "private_route_table_ids" {
  description = "Route tables of the private tier, by zone."
  value       = { for zone, table in aws_route_table.private : zone => table.id }
}

output "database_route_table_id" {
  description = "Route table of the database tier."
  value       = aws_route_table.database.id
}

output "nat_public_ips" {
  description = "Addresses the private tier is seen with, by the zone of the gateway; empty without NAT."
  value       = { for zone, address in aws_eip.nat : zone => address.public_ip }
}

output "s3_prefix_list_id" {
  description = "Prefix list of S3 in the region, for egress rules that reach S3 through the gateway endpoint."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "interface_endpoint_ids" {
  description = "Interface endpoints, by service."
  value       = { for service, endpoint in aws_vpc_endpoint.interface : service => endpoint.id }
}

output "interface_endpoint_security_group_id" {
  description = "Security group of the interface endpoints; null without any."
  value       = one(aws_security_group.endpoints[*].id)
}

output "flow_log_group_name" {
  description = "Log group of the flow logs; null when they are off."
  value       = one(aws_cloudwatch_log_group.flow_logs[*].name)
}
