output "log_groups" {
  description = "Name and ARN of each log group, by purpose. Known when Terraform plans; whoever uses one waits for it."
  value = {
    for purpose, group in aws_cloudwatch_log_group.this :
    purpose => { name = group.name, arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${group.name}" }
  }
}
