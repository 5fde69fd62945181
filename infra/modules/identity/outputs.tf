output "role_arns" {
  description = "ARN of each role. Known when Terraform plans; whoever uses one waits for its policy."
  value       = { for name in keys(local.roles) : name => "arn:${var.place.partition}:iam::${var.place.account}:role/searchsync-${name}" }
  depends_on  = [aws_iam_role.this, aws_iam_role_policy.this, aws_iam_service_linked_role.opensearch]
}
