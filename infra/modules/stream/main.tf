# The function on the stream of each DynamoDB entity, and its two queues (docs/operations/stream.md).

locals {
  # As searchsync.catalog.Entity.variable names it.
  dead_letter_variable = { for name in keys(var.entities) : name => "SEARCHSYNC_${upper(name)}_DEAD_LETTER_QUEUE" }
}

# No redrive policy moves messages from one queue to the other: it would count each receive, also those of a dry run.
# The replay itself parks what it found poison five times.
resource "aws_sqs_queue" "dead_letters" {
  for_each = var.entities

  name                       = each.value.dead_letter_queue
  max_message_size           = var.settings.queues.maximum_message_size_bytes
  message_retention_seconds  = var.settings.queues.message_retention_seconds
  visibility_timeout_seconds = var.settings.queues.visibility_timeout_seconds
  kms_master_key_id          = var.queue_key_arn
}

resource "aws_sqs_queue" "parked" {
  for_each = var.entities

  name                       = each.value.parked_queue
  max_message_size           = var.settings.queues.maximum_message_size_bytes
  message_retention_seconds  = var.settings.queues.message_retention_seconds
  visibility_timeout_seconds = var.settings.queues.visibility_timeout_seconds
  kms_master_key_id          = var.queue_key_arn
}

resource "aws_lambda_function" "stream" {
  for_each = var.entities

  function_name                  = each.value.function
  description                    = "Writes each change of ${each.key} to every index of its write set."
  role                           = each.value.role_arn
  filename                       = each.value.package
  source_code_hash               = filebase64sha256(each.value.package)
  runtime                        = var.settings.function.runtime
  handler                        = var.settings.function.handler
  timeout                        = var.settings.function.timeout_seconds
  memory_size                    = var.settings.function.memory_mb
  architectures                  = ["arm64"]
  reserved_concurrent_executions = var.reserved_concurrency
  publish                        = true

  environment {
    variables = {
      SEARCHSYNC_ENTITY                      = each.key
      SEARCHSYNC_OPENSEARCH_URL              = var.opensearch_url
      SEARCHSYNC_OPENSEARCH_AWS_SERVICE      = "es"
      (local.dead_letter_variable[each.key]) = "${var.queue_url_prefix}${each.value.dead_letter_queue}"
    }
  }

  logging_config {
    log_format = "Text" # it prints its metrics as a line of their own
    log_group  = each.value.log_group
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }
}

# Which version serves is decided by a deployment, which shifts the alias step by step (scripts/deploy.sh), and by a
# rollback. Terraform publishes versions and makes the alias once.
resource "aws_lambda_alias" "live" {
  for_each = var.entities

  name             = "live"
  function_name    = aws_lambda_function.stream[each.key].function_name
  function_version = aws_lambda_function.stream[each.key].version

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

resource "aws_lambda_event_source_mapping" "stream" {
  for_each = var.entities

  event_source_arn                   = each.value.stream_arn
  function_name                      = aws_lambda_alias.live[each.key].arn
  batch_size                         = var.settings.event_source_mapping.BatchSize
  maximum_batching_window_in_seconds = var.settings.event_source_mapping.MaximumBatchingWindowInSeconds
  starting_position                  = var.settings.event_source_mapping.StartingPosition
  maximum_retry_attempts             = var.settings.event_source_mapping.MaximumRetryAttempts
  bisect_batch_on_function_error     = var.settings.event_source_mapping.BisectBatchOnFunctionError
  function_response_types            = var.settings.event_source_mapping.FunctionResponseTypes
  maximum_record_age_in_seconds      = var.settings.event_source_mapping.MaximumRecordAgeInSeconds
  parallelization_factor             = var.settings.event_source_mapping.ParallelizationFactor

  # A queue would get a pointer to records that the stream forgets; a bucket gets the records.
  destination_config {
    on_failure {
      destination_arn = "arn:aws:s3:::${var.records_bucket}"
    }
  }

  # People pause and resume it (docs/operations/stream.md), and a deployment must not undo that.
  lifecycle {
    ignore_changes = [enabled]
  }
}
