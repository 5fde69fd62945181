module "keys" {
  source = "./modules/keys"

  aliases     = local.names.key_aliases
  account_arn = local.arn.account
  service_access = {
    logs = {
      principal = "logs.${var.region}.amazonaws.com"
      condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.here}:log-group:*" } }
    }
    # The event of records that were given up goes to an encrypted queue.
    queues = {
      principal = "events.amazonaws.com"
      condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }
    # An alarm publishes to an encrypted topic.
    alarms = {
      principal = "cloudwatch.amazonaws.com"
      condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }
  }
}
