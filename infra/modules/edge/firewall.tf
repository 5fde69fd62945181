# WAF takes no HTTP API, so it stands at the load balancer behind it, and knows callers by the header that the gateway
# writes. Lists of bad addresses would see the VPC link alone, so there is none.

locals {
  # Amazon's own rules, and those of them that would refuse what the search API allows: they only count.
  managed_rules = {
    AWSManagedRulesKnownBadInputsRuleSet = { priority = 10, count = [] }
    AWSManagedRulesSQLiRuleSet           = { priority = 20, count = [] }
    AWSManagedRulesCommonRuleSet = {
      priority = 30
      # 2 KiB of query and 8 KiB of body; the search API takes 8 and 64, and refuses more itself.
      count = ["SizeRestrictions_QUERYSTRING", "SizeRestrictions_BODY"]
    }
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = var.name
  description = "Before the search API"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "requests-of-an-address"
    priority = 0

    action {
      block {
        custom_response {
          response_code = 429

          response_header {
            name  = "retry-after"
            value = "300"
          }
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = 2000
        evaluation_window_sec = 300
        aggregate_key_type    = "FORWARDED_IP"

        forwarded_ip_config {
          header_name       = var.address_header
          fallback_behavior = "MATCH"
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "requests-of-an-address"
      sampled_requests_enabled   = true
    }
  }

  dynamic "rule" {
    for_each = length(var.blocked_countries) == 0 ? [] : [var.blocked_countries]

    content {
      name     = "countries"
      priority = 1

      action {
        block {}
      }

      statement {
        geo_match_statement {
          country_codes = rule.value

          forwarded_ip_config {
            header_name       = var.address_header
            fallback_behavior = "MATCH"
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "countries"
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "rule" {
    for_each = local.managed_rules

    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key

          dynamic "rule_action_override" {
            for_each = rule.value.count

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.key
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = module.search_api_balancer.load_balancer.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [var.log_groups.waf.arn]

  redacted_fields {
    single_header {
      name = "authorization"
    }
  }

  redacted_fields {
    query_string {} # what people typed
  }
}
