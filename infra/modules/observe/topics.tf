# Who is told: a topic for each severity. Which channels it has is said in the table.

locals {
  severities = var.table.severities

  topics = { for severity in keys(local.severities) : severity => "${var.name}-${lower(severity)}" }
  # Composed, so that a plan shows who will be told, and who may tell.
  topic_arns = { for severity, topic in local.topics : severity => "arn:aws:sns:${var.region}:${var.account_id}:${topic}" }
  actions    = merge({ none = [] }, { for severity, arn in local.topic_arns : severity => [arn] })

  answers = merge({ none = "" }, { for severity, row in local.severities : severity => "${severity}, answer ${row.answer}: " })

  by_channel = {
    for channel in ["mail", "slack", "pagerduty"] :
    channel => [for severity, row in local.severities : severity if contains(row.channels, channel)]
  }
}

resource "aws_sns_topic" "this" {
  for_each = local.severities

  name              = local.topics[each.key]
  kms_master_key_id = var.key_arns.alarms
}

resource "aws_sns_topic_policy" "this" {
  for_each = local.severities

  arn = aws_sns_topic.this[each.key].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arns[each.key]
        Condition = {
          StringEquals = { "aws:SourceAccount" = var.account_id }
          ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:${var.region}:${var.account_id}:alarm:${var.name}-*" }
        }
      },
      {
        Sid       = "EncryptedAlone"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arns[each.key]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = { for pair in setproduct(local.by_channel.mail, var.mail) : join(" ", pair) => { severity = pair[0], address = pair[1] } }

  topic_arn = aws_sns_topic.this[each.value.severity].arn
  protocol  = "email"
  endpoint  = each.value.address
}

# AWS' own chat service (it was called Chatbot): no webhook, so no secret, and no code that could fail at night.
resource "aws_chatbot_slack_channel_configuration" "this" {
  count = var.slack == null ? 0 : 1

  configuration_name    = var.name
  slack_team_id         = var.slack.team_id
  slack_channel_id      = var.slack.channel_id
  iam_role_arn          = var.slack.role_arn
  guardrail_policy_arns = ["arn:aws:iam::aws:policy/AWSDenyAll"] # it tells, and nobody in the channel can do anything by it
  sns_topic_arns        = [for severity in local.by_channel.slack : aws_sns_topic.this[severity].arn]
}

# The address of PagerDuty's integration is a secret: who knows it can wake people. The state of Terraform would keep the
# endpoint of an aws_sns_topic_subscription as plain text. CloudFormation looks the secret up itself, so that template,
# plan and state hold its name alone.
resource "aws_cloudformation_stack" "pagerduty" {
  count = var.pagerduty_secret == null ? 0 : 1

  name       = "${var.name}-pagerduty"
  parameters = { for severity in local.by_channel.pagerduty : severity => aws_sns_topic.this[severity].arn }
  template_body = jsonencode({
    Parameters = { for severity in local.by_channel.pagerduty : severity => { Type = "String" } }
    Resources = {
      for severity in local.by_channel.pagerduty : "Subscription${severity}" => {
        Type = "AWS::SNS::Subscription"
        Properties = {
          TopicArn = { Ref = severity }
          Protocol = "https"
          Endpoint = "{{resolve:secretsmanager:${var.pagerduty_secret}}}"
        }
      }
    }
  })
}
