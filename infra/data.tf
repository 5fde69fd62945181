module "data" {
  source    = "./modules/data"
  providers = { aws = aws, aws.replica = aws.replica }

  name                = local.names.prefix
  account_id          = var.account_id
  deletion_protection = local.environment.deletion_protection
  backup_days         = local.environment.database_backup_days
  keys                = local.key_arns
  role_arns = {
    replication    = module.identity.role_arns["replication"]
    rds_monitoring = module.identity.role_arns["rds-monitoring"]
  }

  tables              = local.tables
  database_log_groups = [for purpose in keys(local.names.databases) : module.observe.log_groups["database-${purpose}"].name]
  databases           = local.names.databases
  database = {
    class              = local.environment.database_class
    gigabytes          = local.environment.database_gb
    standby            = local.environment.database_standby
    monitoring_seconds = local.environment.database_monitoring_seconds
  }
  buckets            = local.names.buckets
  copy_objects       = local.environment.replica_region != null
  bucket_copies      = local.names.bucket_copies
  secrets            = local.names.secrets
  subnet_ids         = module.network.isolated_subnet_ids
  security_group_ids = module.network.security_group_ids
}

module "caches" {
  source = "./modules/caches"
  count  = var.emulated ? 0 : 1

  names              = local.names.caches
  node_type          = local.environment.cache_type
  nodes              = local.environment.cache_nodes
  key_arn            = local.key_arns.caches
  subnet_ids         = module.network.isolated_subnet_ids
  security_group_ids = module.network.security_group_ids
}

locals {
  # The emulator has no caches: the services get names that lead nowhere.
  cache_addresses = var.emulated ? { broker = "broker.invalid", cache = "cache.invalid" } : module.caches[0].addresses
}
