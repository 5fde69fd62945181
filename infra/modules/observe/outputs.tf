output "log_groups" {
  description = "Name and ARN of each log group, by purpose. Known when Terraform plans; whoever uses one waits for it."
  value = {
    for purpose, group in aws_cloudwatch_log_group.this :
    purpose => { name = group.name, arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${group.name}" }
  }
}

output "topic_arns" {
  description = "The topic of each severity."
  value       = { for severity, topic in aws_sns_topic.this : severity => topic.arn }
}

output "alarm_names" {
  description = "Names of the alarms, by row, and what the row has one each for."
  value       = { for key, alarm in local.alarms : key => alarm.name }
}
