# Alarms, each of a row of include/policies/alarms.yaml. Nothing about an alarm is decided here.

locals {
  scopes = merge(var.each, { one = { "" = tomap({}) } })

  # Of a row that has a check alone, CloudWatch is told what the check found.
  rows = merge(
    { for name, row in var.table.alarms : name => row if can(row.metric) || can(row.expression) },
    { for name, row in var.table.alarms : name => merge(row, var.table.checks) if !(can(row.metric) || can(row.expression)) },
  )

  alarms = merge([
    for name, row in local.rows : {
      for key, words in local.scopes[try(row.each, "one")] : join("-", compact([name, key])) => {
        row     = row
        name    = join("-", compact([var.name, name, key]))
        subject = key
        # A single metric is an expression of one part, so that there is one way to read a row.
        of = {
          for id, metric in try(row.of, { value = row.metric }) : id => {
            namespace = metric.namespace
            name      = metric.name
            statistic = metric.statistic
            dimensions = {
              for dimension, word in try(metric.dimensions, {}) :
              dimension => lookup(merge(var.words, words, { alarm = name }), trim(word, "{}"), word)
            }
          }
        }
        expression = try(row.expression, null)
        threshold = try(
          tonumber(row.threshold),
          var.freshness[key][row.threshold.freshness] * try(row.threshold.times, 1),
          row.threshold.burn_rate * (100 - var.table.objective.availability),
          var.sizes[row.threshold.size] * row.threshold.times,
        )
      }
    } if contains(row.environments, var.environment)
  ]...)

  together = {
    for name, row in var.table.together : name => row
    if alltrue([for part in row.parts : contains(keys(local.alarms), part)])
  }

  operators = {
    ">"  = "GreaterThanThreshold"
    ">=" = "GreaterThanOrEqualToThreshold"
    "<"  = "LessThanThreshold"
    "<=" = "LessThanOrEqualToThreshold"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = each.value.name
  alarm_description   = "${local.answers[try(each.value.row.severity, "none")]}${each.value.row.signal} Runbook: ${each.value.row.runbook}"
  comparison_operator = local.operators[each.value.row.is]
  threshold           = each.value.threshold
  evaluation_periods  = each.value.row.periods
  datapoints_to_alarm = each.value.row.breaching
  treat_missing_data  = each.value.row.missing
  alarm_actions       = local.actions[try(each.value.row.severity, "none")]
  ok_actions          = local.actions[try(each.value.row.severity, "none")]

  depends_on = [aws_sns_topic.this]

  # Of few datapoints a percentile says nothing.
  evaluate_low_sample_count_percentiles = can(regex("^p", try(each.value.of.value.statistic, ""))) ? "ignore" : null

  namespace          = try(each.value.of.value.namespace, null)
  metric_name        = try(each.value.of.value.name, null)
  dimensions         = try(each.value.of.value.dimensions, null)
  period             = each.value.expression == null ? each.value.row.period : null
  statistic          = each.value.expression == null && !can(regex("^p", each.value.of.value.statistic)) ? each.value.of.value.statistic : null
  extended_statistic = each.value.expression == null && can(regex("^p", each.value.of.value.statistic)) ? each.value.of.value.statistic : null

  dynamic "metric_query" {
    for_each = each.value.expression == null ? {} : each.value.of

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        period      = each.value.row.period
        stat        = metric_query.value.statistic
      }
    }
  }

  dynamic "metric_query" {
    for_each = each.value.expression == null ? [] : [each.value.expression]

    content {
      id          = "value"
      expression  = metric_query.value
      label       = each.value.row.signal
      return_data = true
    }
  }
}

resource "aws_cloudwatch_composite_alarm" "this" {
  for_each = local.together

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${local.answers[each.value.severity]}${each.value.signal} Runbook: ${local.alarms[each.value.parts[0]].row.runbook}"
  alarm_rule        = join(" AND ", [for part in each.value.parts : "ALARM(\"${aws_cloudwatch_metric_alarm.this[part].alarm_name}\")"])
  alarm_actions     = local.actions[each.value.severity]
  ok_actions        = local.actions[each.value.severity]
}
