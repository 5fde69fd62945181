variable "entities" {
  description = "By entity: names of its function and queues, ARN of its dead-letter queue, ARN of its table's stream, its package, role, log group."
  type = map(object({
    function          = string
    dead_letter_queue = string
    parked_queue      = string
    dead_letters_arn  = string
    stream_arn        = string
    package           = string
    role_arn          = string
    log_group         = string
  }))
}

variable "settings" {
  description = "lambdas/stream/settings.json, which the local stack reads, too."
  type = object({
    queues = object({
      maximum_message_size_bytes = number
      message_retention_seconds  = number
      visibility_timeout_seconds = number
    })
    function = object({
      runtime         = string
      handler         = string
      timeout_seconds = number
      memory_mb       = number
    })
    event_source_mapping = object({
      BatchSize                      = number
      MaximumBatchingWindowInSeconds = number
      StartingPosition               = string
      MaximumRetryAttempts           = number
      BisectBatchOnFunctionError     = bool
      FunctionResponseTypes          = list(string)
      MaximumRecordAgeInSeconds      = number
      ParallelizationFactor          = number
    })
  })
}

variable "reserved_concurrency" {
  description = "Invocations of one function at once: at least the shards of its stream, times ParallelizationFactor."
  type        = number
}

variable "opensearch_url" {
  description = "Address of the domain, https."
  type        = string
}

variable "queue_url_prefix" {
  description = "What stands before a queue's name in its URL."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the functions."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the functions."
  type        = list(string)
}

variable "records_bucket" {
  description = "Bucket that keeps the records that the event source mapping gives up."
  type        = string
}

variable "place" {
  description = "Region and account of the rules."
  type        = object({ region = string, account = string })
}

variable "queue_key_arn" {
  description = "KMS key of the queues."
  type        = string
}
