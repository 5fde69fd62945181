resource "aws_cloudwatch_log_group" "this" {
  for_each = var.log_groups

  name              = each.value
  retention_in_days = var.log_days
  kms_key_id        = var.key_arns.logs
}

# WAF and API Gateway deliver their logs by a service of AWS, which has to be let in.
resource "aws_cloudwatch_log_resource_policy" "delivery" {
  policy_name = "${var.name}-delivery"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DeliveryOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "delivery.logs.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = [
        for purpose in ["edge", "waf"] :
        "arn:aws:logs:${var.region}:${var.account_id}:log-group:${var.log_groups[purpose]}:log-stream:*"
      ]
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:logs:${var.region}:${var.account_id}:*" }
      }
    }]
  })
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = var.table.log_metrics

  name           = each.key
  log_group_name = aws_cloudwatch_log_group.this[each.value.log].name
  pattern        = each.value.lines

  metric_transformation {
    namespace     = "SearchSync/SearchApi"
    name          = each.key
    value         = "1"
    default_value = "0" # of minutes whose lines do not match: else a ratio would have no datapoint
  }
}
