# How a new version of the search API gets a share of the searches (local/deployment/search_api.py): a second target group,
# and a rule with the weights of both. The listener's default action stays as it is: an environment that has a listener
# gets the rule as a new resource, and a rollback to a release without it leaves all searches to the first group.

locals {
  health_path   = "/ready" # docs/search-api.md, Probes: a task that cannot answer yet must not replace one that can
  drain_seconds = 15       # requests under way get 10
}

resource "aws_lb_target_group" "canary" {
  name                          = "${var.name}-search-api-canary"
  vpc_id                        = var.vpc_id
  target_type                   = "ip"
  protocol                      = "HTTP"
  port                          = 8080
  deregistration_delay          = local.drain_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = local.health_path
    interval            = 30
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
    matcher             = "200"
  }
}

resource "aws_lb_listener_rule" "canary" {
  listener_arn = module.search_api_balancer.listener_arn
  priority     = 1

  action {
    type = "forward"

    forward {
      target_group {
        arn    = module.search_api_balancer.target_group.arn
        weight = 100
      }

      target_group {
        arn    = aws_lb_target_group.canary.arn
        weight = 0
      }
    }
  }

  condition {
    path_pattern {
      values = ["*"]
    }
  }

  lifecycle {
    ignore_changes = [action] # the deployment shifts the weights
  }
}
