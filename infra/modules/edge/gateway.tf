# HTTP API -> VPC link -> load balancer -> search API.

resource "aws_apigatewayv2_api" "this" {
  name                         = var.name
  description                  = "The search API"
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = true # the name below is the one way in
}

resource "aws_apigatewayv2_vpc_link" "this" {
  name               = var.name
  subnet_ids         = var.subnet_ids
  security_group_ids = [var.security_group_ids.api_gateway]
}

resource "aws_apigatewayv2_integration" "this" {
  api_id               = aws_apigatewayv2_api.this.id
  integration_type     = "HTTP_PROXY"
  integration_method   = "ANY"
  integration_uri      = module.search_api_balancer.listener_arn
  connection_type      = "VPC_LINK"
  connection_id        = aws_apigatewayv2_vpc_link.this.id
  timeout_milliseconds = 30000 # the search API answers searches within 5 seconds, and questions within 28

  tls_config {
    server_name_to_verify = var.domain_name
  }

  # The gateway tells the caller's address in `Forwarded` alone, after what the caller wrote there; and X-Forwarded-For,
  # which the load balancer writes, has the address of the VPC link. So the address gets a header that no caller can set.
  request_parameters = {
    "overwrite:header.${var.address_header}" = "$context.identity.sourceIp"
  }
}

resource "aws_apigatewayv2_authorizer" "user_pool" {
  api_id           = aws_apigatewayv2_api.this.id
  name             = "user-pool"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = local.issuer
    audience = local.audience
  }
}

locals {
  issuer   = "https://cognito-idp.${var.region}.amazonaws.com/${aws_cognito_user_pool.this.id}"
  audience = [for client in aws_cognito_user_pool_client.this : client.id]

  public_routes = ["GET /", "GET /page/{file}", "GET /health", "GET /openapi.json", "GET /problems"]
}

resource "aws_apigatewayv2_route" "public" {
  for_each = toset(local.public_routes)

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = "NONE"
}

# All else, also what does not exist, needs a token of the pool; the search API verifies it once more.
resource "aws_apigatewayv2_route" "default" {
  api_id             = aws_apigatewayv2_api.this.id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = "JWT"
  authorizer_id      = aws_apigatewayv2_authorizer.user_pool.id
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.throttle.requests_per_second
    throttling_burst_limit   = var.throttle.burst
    detailed_metrics_enabled = false # each route would be billed as a metric; the search API measures its own
  }

  access_log_settings {
    destination_arn = var.log_groups.edge.arn
    # No header and no query: they hold tokens, and what people typed.
    format = jsonencode({
      time            = "$context.requestTime"
      request_id      = "$context.requestId"
      address         = "$context.identity.sourceIp"
      method          = "$context.httpMethod"
      route           = "$context.routeKey"
      status          = "$context.status"
      duration_ms     = "$context.responseLatency"
      integration_ms  = "$context.integrationLatency"
      integration     = "$context.integrationStatus"
      refused_because = "$context.authorizer.error"
      error           = "$context.error.message"
    })
  }
}

resource "aws_apigatewayv2_domain_name" "this" {
  domain_name = var.domain_name

  domain_name_configuration {
    certificate_arn = aws_acm_certificate_validation.this["search_api"].certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2" # and newer; on port 80 nothing listens
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this.id
  stage       = aws_apigatewayv2_stage.default.id
}

module "search_api_balancer" {
  source = "../balancer"

  name                = "${var.name}-search-api"
  vpc_id              = var.vpc_id
  subnet_ids          = var.subnet_ids
  security_group_id   = var.security_group_ids.search_api_balancer
  certificate_arn     = aws_acm_certificate_validation.this["search_api"].certificate_arn
  health_path         = local.health_path
  drain_seconds       = local.drain_seconds
  log_bucket          = var.log_bucket
  deletion_protection = var.deletion_protection
}

# The page of Airflow is for operators inside of the network alone.
module "airflow_balancer" {
  source = "../balancer"

  name                = "${var.name}-airflow"
  vpc_id              = var.vpc_id
  subnet_ids          = var.subnet_ids
  security_group_id   = var.security_group_ids.airflow_balancer
  certificate_arn     = aws_acm_certificate_validation.this["airflow"].certificate_arn
  health_path         = "/api/v2/monitor/health"
  drain_seconds       = 60
  log_bucket          = var.log_bucket
  deletion_protection = var.deletion_protection
}
