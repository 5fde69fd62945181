# What a shell needs to work with this environment, by the names of its variables (docs/infrastructure/migration.md).
# Nothing here is secret: logins are those of IAM.

locals {
  configuration = merge(
    {
      SEARCHSYNC_OPENSEARCH_URL         = "https://${local.made.opensearch_host}"
      SEARCHSYNC_OPENSEARCH_AWS_SERVICE = "es"
      SEARCHSYNC_POSTGRES_DSN           = "postgresql://locations_reader@${local.made.source_database}:5432/app?sslmode=verify-full"
      SEARCHSYNC_POSTGRES_IAM           = "true"
    },
    { for name, queue in local.names.dead_letter_queues : "SEARCHSYNC_${upper(name)}_DEAD_LETTER_QUEUE" => "${local.queue_url_prefix}${queue}" },
    { for name, queue in local.names.parked_queues : "SEARCHSYNC_${upper(name)}_PARKED_QUEUE" => "${local.queue_url_prefix}${queue}" },
    { for name, entity in local.dynamodb : "SEARCHSYNC_${upper(name)}_EXPORT_BUCKET" => "${local.names.buckets.exports}/${name}" if entity.from_export },
  )
}

resource "aws_ssm_parameter" "configuration" {
  for_each = local.configuration

  name  = "/searchsync/${each.key}"
  type  = "String"
  value = each.value
}
