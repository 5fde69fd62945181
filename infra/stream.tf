module "stream" {
  source = "./modules/stream"

  entities = {
    for name, entity in local.dynamodb : name => {
      function          = local.names.functions[name]
      dead_letter_queue = local.names.dead_letter_queues[name]
      parked_queue      = local.names.parked_queues[name]
      dead_letters_arn  = "arn:${local.partition}:sqs:${local.here}:${local.names.dead_letter_queues[name]}"
      stream_arn        = module.data.stream_arns[entity.table]
      package           = var.function_packages[name]
      role_arn          = module.identity.role_arns["stream-${name}"]
      log_group         = local.names.log_groups["stream-${name}"]
    }
  }
  settings             = local.stream_settings
  reserved_concurrency = local.environment.stream_concurrency
  opensearch_url       = "https://${local.made.opensearch_host}"
  queue_url_prefix     = local.queue_url_prefix
  records_bucket       = local.made.records_bucket
  place                = { region = var.region, account = var.account_id }
  queue_key_arn        = local.key_arns.queues
  subnet_ids           = module.network.private_subnet_ids
  security_group_ids   = [module.network.security_group_ids.functions]
}

locals {
  queue_url_prefix = "https://sqs.${var.region}.amazonaws.com/${var.account_id}/"
}
