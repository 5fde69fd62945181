output "environment" {
  description = "The environment that was applied."
  value       = var.environment
}

output "account_id" {
  description = "The account that it was applied to: with the environment, whose state this is."
  value       = var.account_id
}
