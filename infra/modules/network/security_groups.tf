# Who may reach what: a row for each connection, which becomes a rule of both sides. What has no row cannot connect.

locals {
  groups = {
    functions           = "Functions on the streams of tables"
    airflow             = "Airflow: API server, scheduler, DAG processor, triggerer, workers"
    airflow_balancer    = "Load balancer of the page of Airflow, for operators alone"
    search_api          = "The search API"
    search_api_balancer = "Load balancer of the search API"
    api_gateway         = "The HTTP API, which comes in through its VPC link"
    search              = "The OpenSearch domain"
    source_database     = "PostgreSQL with the rows that are searched"
    airflow_database    = "PostgreSQL with the state of Airflow"
    broker              = "Valkey with the queue of Celery"
    cache               = "Valkey with the answers and counters of the search API"
    reports             = "File system with the reports of DAG runs"
    endpoints           = "Endpoints of AWS services"
  }

  connections = {
    functions_to_search         = { from = "functions", to = "search", port = 443 }
    airflow_to_search           = { from = "airflow", to = "search", port = 443 }
    search_api_to_search        = { from = "search_api", to = "search", port = 443 }
    airflow_to_source_database  = { from = "airflow", to = "source_database", port = 5432 }
    airflow_to_airflow_database = { from = "airflow", to = "airflow_database", port = 5432 }
    airflow_to_broker           = { from = "airflow", to = "broker", port = 6379 }
    airflow_to_reports          = { from = "airflow", to = "reports", port = 2049 }
    search_api_to_cache         = { from = "search_api", to = "cache", port = 6379 }
    api_gateway_to_balancer     = { from = "api_gateway", to = "search_api_balancer", port = 443 }
    airflow_to_search_api       = { from = "airflow", to = "search_api_balancer", port = 443 } # warms the cache
    balancer_to_search_api      = { from = "search_api_balancer", to = "search_api", port = 8080 }
    balancer_to_airflow         = { from = "airflow_balancer", to = "airflow", port = 8080 }
    airflow_to_its_api_server   = { from = "airflow", to = "airflow", port = 8080 } # tasks report to it
    functions_to_endpoints      = { from = "functions", to = "endpoints", port = 443 }
    airflow_to_endpoints        = { from = "airflow", to = "endpoints", port = 443 }
    search_api_to_endpoints     = { from = "search_api", to = "endpoints", port = 443 }
  }

  # Services of AWS that have no endpoint here, keys of the user pool, Slack.
  to_the_internet = toset(["functions", "airflow", "search_api"])
}

resource "aws_security_group" "this" {
  for_each = local.groups

  name        = "${var.name}-${replace(each.key, "_", "-")}"
  description = each.value
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-${replace(each.key, "_", "-")}" }
}

resource "aws_vpc_security_group_egress_rule" "connection" {
  for_each = local.connections

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.key
}

resource "aws_vpc_security_group_ingress_rule" "connection" {
  for_each = local.connections

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.key
}

resource "aws_vpc_security_group_egress_rule" "internet" {
  for_each = local.to_the_internet

  security_group_id = aws_security_group.this[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "${each.key}_to_the_internet"
}

resource "aws_vpc_security_group_ingress_rule" "operators" {
  for_each = toset(var.operator_cidrs)

  security_group_id = aws_security_group.this["airflow_balancer"].id
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "operators_to_airflow"
}
