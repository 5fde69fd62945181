output "api_id" {
  description = "The HTTP API, as metrics name it."
  value       = aws_apigatewayv2_api.this.id
}

output "search_api" {
  description = "What the search API needs: its target group, and what it trusts."
  value = {
    target_group  = module.search_api_balancer.target_group
    load_balancer = module.search_api_balancer.load_balancer
    issuer        = local.issuer
    audience      = local.audience
  }
}

output "airflow" {
  description = "What Airflow needs: its target group, the address of its page, and the client by which it logs in to the search API."
  value = {
    target_group_arn = module.airflow_balancer.target_group.arn
    url              = "https://${local.airflow_name}"
    client_id        = aws_cognito_user_pool_client.this["programs"].id
  }
}

output "user_pool_id" {
  description = "The user pool, for who makes users."
  value       = aws_cognito_user_pool.this.id
}

output "name_servers" {
  description = "What the zone above delegates to."
  value       = aws_route53_zone.this.name_servers
}
