# Each alarm is a chart of its board, with its threshold, and so is each metric of include/policies/metrics.yaml. What
# else is worth seeing is listed here.

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

  # Where the month stands: alarms tell how fast the errors are, and not how many there were.
  availability = {
    type   = "metric"
    width  = 24
    height = 6
    properties = {
      title  = "Requests that were answered, in percent, by day"
      region = var.region
      view   = "timeSeries"
      period = 86400
      metrics = [
        ["AWS/ApiGateway", "5xx", "ApiId", var.words.api, { id = "failed", stat = "Sum", visible = false }],
        ["AWS/ApiGateway", "Count", "ApiId", var.words.api, { id = "asked", stat = "Sum", visible = false }],
        [{ id = "value", expression = "100 - 100 * failed / asked", label = "percent" }],
      ]
      annotations = { horizontal = [for name, percent in var.table.objective : { label = name, value = percent }] }
    }
  }

  # A search finds the metric of each entity, DAG or worker, also of one that comes later.
  metric_charts = merge(
    {
      for name, row in var.metrics : "${name}: ${row.means}" => {
        board   = local.boards[row.by]
        metrics = [[local.namespaces[row.by], name, { stat = local.statistics[name] }]]
      } if length(row.dimensions) == 0
    },
    {
      for name, row in var.metrics : "${name}: ${row.means}" => {
        board = local.boards[row.by]
        metrics = [[{
          id         = "all"
          expression = "SEARCH('{${join(",", concat([local.namespaces[row.by]], row.dimensions))}} MetricName=\"${name}\"', '${local.statistics[name]}', 300)"
        }]]
      } if length(row.dimensions) > 0
    },
  )
  boards     = { function = "performance", "search-api" = "performance", task = "health", worker = "infrastructure" }
  namespaces = { function = "SearchSync", worker = "SearchSync", task = "SearchSync", "search-api" = "SearchSync/SearchApi" }
  # What is counted is added up; of what is measured, the worst is shown.
  statistics = {
    for name, row in var.metrics :
    name => row.unit == "Count" && contains(["function", "search-api"], row.by) ? "Sum" : "Maximum"
  }

  # A tenant is never a dimension of a metric: there would be thousands. These read the log of the search API.
  tenants = {
    "Requests"                = "stats count(*) as requests by tenant_id | sort requests desc"
    "Slowest"                 = "stats pct(duration_ms, 95) as p95_ms, count(*) as requests by tenant_id | sort p95_ms desc"
    "Errors of ours"          = "filter status >= 500 | stats count(*) as errors by tenant_id, error | sort errors desc"
    "Refused by a rate limit" = "filter error = \"too-many-requests-of-tenant\" | stats count(*) as refused by tenant_id | sort refused desc"
    "Answers from the cache"  = "filter cache != \"none\" | stats 100 * sum(strcontains(cache, \"hit\")) / count(*) as percent, count(*) as searches by tenant_id | sort searches desc"
  }

  # A list each, because CloudWatch takes 100 alarms in one.
  alarm_lists = [
    for severity, row in local.severities : {
      type   = "alarm"
      width  = 24
      height = 4
      properties = {
        title = "What is wrong now: ${severity}, answer ${row.answer}"
        alarms = [
          for name in concat(
            [for alarm in values(local.alarms) : alarm.name if try(alarm.row.severity, "") == severity],
            [for name, alarm in local.together : "${var.name}-${name}" if alarm.severity == severity],
          ) : "arn:aws:cloudwatch:${var.region}:${var.account_id}:alarm:${name}"
        ]
      }
    }
  ]

  widgets = merge(
    {
      for board in ["health", "performance", "infrastructure"] : board => concat(
        [for list in local.alarm_lists : list if board == "health"],
        [for chart in [local.availability] : chart if board == "performance"],
        [
          for title, chart in merge(local.more_charts, local.metric_charts) : {
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
