# The zone is the public name itself; the zone above it delegates to it (docs/infrastructure).

resource "aws_route53_zone" "this" {
  name    = var.domain_name
  comment = "The search API"
}

locals {
  airflow_name = "airflow.${var.domain_name}"
  certificates = { search_api = var.domain_name, airflow = local.airflow_name }
}

resource "aws_acm_certificate" "this" {
  for_each = local.certificates

  domain_name       = each.value
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "certificate" {
  for_each = local.certificates

  zone_id = aws_route53_zone.this.zone_id
  name    = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_name
  type    = one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_type
  records = [one(aws_acm_certificate.this[each.key].domain_validation_options).resource_record_value]
  ttl     = 300
}

resource "aws_acm_certificate_validation" "this" {
  for_each = local.certificates

  certificate_arn         = aws_acm_certificate.this[each.key].arn
  validation_record_fqdns = [aws_route53_record.certificate[each.key].fqdn]
}

resource "aws_route53_record" "search_api" {
  zone_id         = aws_route53_zone.this.zone_id
  name            = var.domain_name
  type            = "A"
  set_identifier  = var.region
  health_check_id = aws_route53_health_check.search_api.id

  # When the region is lost, a record SECONDARY of the same name leads to another one (disaster recovery).
  failover_routing_policy {
    type = "PRIMARY"
  }

  alias {
    name                   = aws_apigatewayv2_domain_name.this.domain_name_configuration[0].target_domain_name
    zone_id                = aws_apigatewayv2_domain_name.this.domain_name_configuration[0].hosted_zone_id
    evaluate_target_health = true
  }
}

# From outside: name, certificate, gateway, load balancer and service at once. Its metric is in us-east-1 alone, so no
# alarm of this region sees it; that no task is ready is alarmed here.
resource "aws_route53_health_check" "search_api" {
  type              = "HTTPS"
  fqdn              = var.domain_name
  port              = 443
  resource_path     = "/health"
  request_interval  = 30
  failure_threshold = 3
  measure_latency   = true

  tags = { Name = "${var.name}-search-api" }
}

# Private addresses under a public name: only who is in the network reaches them.
resource "aws_route53_record" "airflow" {
  zone_id = aws_route53_zone.this.zone_id
  name    = local.airflow_name
  type    = "A"

  alias {
    name                   = module.airflow_balancer.load_balancer.dns_name
    zone_id                = module.airflow_balancer.load_balancer.zone_id
    evaluate_target_health = false
  }
}
