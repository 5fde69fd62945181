output "api_id" {
  description = "The HTTP API, as metrics name it."
  value       = aws_apigatewayv2_api.this.id
}

output "search_api" {
  description = "What the search API needs: its target group, and what it trusts."
  value = {
    target_group            = module.search_api_balancer.target_group
    canary_target_group_arn = aws_lb_target_group.canary.arn
    load_balancer           = module.search_api_balancer.load_balancer
    issuer                  = local.issuer
    audience                = local.audience
  }
  depends_on = [aws_lb_listener_rule.canary] # a service can register when its group has a listener
}

output "airflow" {
  description = "What Airflow needs: its target group, and the address of its page."
  value = {
    target_group_arn = module.airflow_balancer.target_group.arn
    url              = "https://${local.airflow_name}"
  }
}
