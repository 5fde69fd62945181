# A bucket tells nobody that it has records. Its event goes to the dead-letter queue as a message that names the object,
# and the next replay reads it (docs/operations/dlq_replay.md).

locals {
  given_up = { for name, entity in var.entities : name => "${entity.function}-given-up" } # names of the rules
}

resource "aws_s3_bucket_notification" "records" {
  bucket      = var.records_bucket
  eventbridge = true
}

resource "aws_cloudwatch_event_rule" "given_up" {
  for_each = var.entities

  name        = local.given_up[each.key]
  description = "Records of ${each.key} that the event source mapping gave up are in the bucket."

  # Lambda chooses the keys; each mapping has a folder of its own.
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.records_bucket] }
      object = { key = [{ prefix = "aws/lambda/${aws_lambda_event_source_mapping.stream[each.key].uuid}/" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "given_up" {
  for_each = var.entities

  rule = aws_cloudwatch_event_rule.given_up[each.key].name
  arn  = aws_sqs_queue.dead_letters[each.key].arn

  input_transformer {
    input_paths    = { bucket = "$.detail.bucket.name", key = "$.detail.object.key" }
    input_template = "{\"kind\": \"given-up\", \"bucket\": \"<bucket>\", \"key\": \"<key>\"}"
  }
}

resource "aws_sqs_queue_policy" "dead_letters" {
  for_each = var.entities

  queue_url = aws_sqs_queue.dead_letters[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RecordsThatWereGivenUp"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = each.value.dead_letters_arn
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:events:${var.place.region}:${var.place.account}:rule/${local.given_up[each.key]}" }
        StringEquals = { "aws:SourceAccount" = var.place.account }
      }
    }]
  })
}
