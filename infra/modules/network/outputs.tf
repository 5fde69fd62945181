output "vpc_id" {
  value = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "One for each zone, for what calls other services."
  value       = [for zone in keys(local.zones) : aws_subnet.private[zone].id]
}

output "isolated_subnet_ids" {
  description = "One for each zone, for what is only called."
  value       = [for zone in keys(local.zones) : aws_subnet.isolated[zone].id]
}

output "security_group_ids" {
  description = "By the names of security_groups.tf."
  value       = { for name, group in aws_security_group.this : name => group.id }
}
