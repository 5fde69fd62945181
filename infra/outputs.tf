output "environment" {
  description = "The environment that was applied."
  value       = var.environment
}
