output "service" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.search_api.name
}

output "task_definition_arn" {
  description = "ARN of the revision that was made last."
  value       = aws_ecs_task_definition.search_api.arn
}
