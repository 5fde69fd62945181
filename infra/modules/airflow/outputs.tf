output "services" {
  description = "By part of Airflow: name of its ECS service."
  value       = { for name, service in aws_ecs_service.this : name => service.name }
}

output "task_definition_arns" {
  description = "By part of Airflow: ARN of the revision that was made last. `migrate` is run once by each deployment."
  value       = { for name, definition in aws_ecs_task_definition.this : name => definition.arn }
}

output "reports_file_system_arn" {
  description = "ARN of the file system with the reports."
  value       = aws_efs_file_system.reports.arn
}
