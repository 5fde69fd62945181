# Each alarm is a chart of its board, with its threshold. What else is worth seeing is listed here.

locals {
  charts = {
    for key, alarm in local.alarms : key => {
      title  = trimspace("${key}: ${alarm.row.signal}")
      board  = alarm.row.board
      period = alarm.row.period
      unit   = alarm.row.unit
      limit  = { label = "alarm", value = alarm.threshold }
      metrics = concat(
        [
          for id, metric in alarm.of : concat(
            [metric.namespace, metric.name],
            flatten([for dimension, value in metric.dimensions : [dimension, value]]),
            [{ id = id, stat = metric.statistic, visible = alarm.expression == null }],
          )
        ],
        alarm.expression == null ? [] : [[{ id = "value", expression = alarm.expression, label = alarm.row.unit }]],
      )
    }
  }

  more_charts = {
    "Requests and errors" = {
      board = "performance"
      metrics = [
        for metric in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", metric, "ApiId", var.words.api, { stat = "Sum" }]
      ]
    }
    "Time of an answer, in milliseconds" = {
      board = "performance"
      metrics = [
        for statistic in ["p50", "p95", "p99"] : ["AWS/ApiGateway", "Latency", "ApiId", var.words.api, { stat = statistic, label = statistic }]
      ]
    }
    "OpenSearch: time of a search and of a write" = {
      board = "performance"
      metrics = [
        for metric in ["SearchLatency", "IndexingLatency"] :
        ["AWS/ES", metric, "DomainName", var.words.domain, "ClientId", var.words.account, { stat = "Average" }]
      ]
    }
    "OpenSearch: searches and writes" = {
      board = "performance"
      metrics = [
        for metric in ["SearchRate", "IndexingRate"] :
        ["AWS/ES", metric, "DomainName", var.words.domain, "ClientId", var.words.account, { stat = "Sum" }]
      ]
    }
    "Processors of the services, in percent" = {
      board = "infrastructure"
      metrics = [
        for name, words in var.each.service : ["AWS/ECS", "CPUUtilization", "ClusterName", var.words.cluster, "ServiceName", words.service, { stat = "Average" }]
      ]
    }
  }

  # A tenant is never a dimension of a metric: there would be thousands. These read the log of the search API.
  tenants = {
    "Requests"                = "stats count(*) as requests by tenant_id | sort requests desc"
    "Slowest"                 = "stats pct(duration_ms, 95) as p95_ms, count(*) as requests by tenant_id | sort p95_ms desc"
    "Errors of ours"          = "filter status >= 500 | stats count(*) as errors by tenant_id, error | sort errors desc"
    "Refused by a rate limit" = "filter error = \"too-many-requests-of-tenant\" | stats count(*) as refused by tenant_id | sort refused desc"
    "Answers from the cache"  = "filter cache != \"none\" | stats 100 * sum(strcontains(cache, \"hit\")) / count(*) as percent, count(*) as searches by tenant_id | sort searches desc"
  }

  alarm_list = {
    type   = "alarm"
    width  = 24
    height = 6
    properties = {
      title = "What is wrong now"
      alarms = [
        for name in concat(
          [for alarm in values(local.alarms) : alarm.name if can(alarm.row.severity)],
          [for name in keys(local.together) : "${var.name}-${name}"],
        ) : "arn:aws:cloudwatch:${var.region}:${var.account_id}:alarm:${name}"
      ]
    }
  }

  widgets = merge(
    {
      for board in ["health", "performance", "infrastructure"] : board => concat(
        board == "health" ? [local.alarm_list] : [],
        [
          for title, chart in local.more_charts : {
            type   = "metric"
            width  = 8
            height = 6
            properties = {
              title   = title
              region  = var.region
              view    = "timeSeries"
              period  = 300
              metrics = chart.metrics
            }
          } if chart.board == board
        ],
        [
          for key, chart in local.charts : {
            type   = "metric"
            width  = 8
            height = 6
            properties = {
              title       = chart.title
              region      = var.region
              view        = "timeSeries"
              period      = chart.period
              metrics     = chart.metrics
              yAxis       = { left = { label = chart.unit, showUnits = false } }
              annotations = { horizontal = [chart.limit] }
            }
          } if chart.board == board
        ],
      )
    },
    {
      tenants = [
        for title, query in local.tenants : {
          type   = "log"
          width  = 12
          height = 8
          properties = {
            title  = title
            region = var.region
            view   = "table"
            query  = "SOURCE '${var.log_groups["search-api"]}' | filter message = \"request\" and ispresent(tenant_id) and tenant_id != \"\" | ${query} | limit 20"
          }
        }
      ]
    },
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  for_each = toset(["health", "performance", "tenants", "infrastructure"])

  dashboard_name = "${var.name}-${each.key}"
  dashboard_body = jsonencode({ widgets = local.widgets[each.key] })
}
