module "search" {
  source = "./modules/search"

  name    = local.names.domain
  arn     = local.arn.domain
  account = { id = var.account_id, arn = local.arn.account }

  nodes             = local.environment.search_nodes
  managers          = local.environment.search_managers
  standby           = local.environment.search_standby
  auto_tune         = local.environment.search_auto_tune
  key_arn           = module.keys.arns.search
  administrator_arn = module.identity.role_arns["opensearch-admin"]
  log_group_arns = {
    application  = local.arn.log_group_search-application
    audit        = local.arn.log_group_search-audit
    slow_queries = local.arn.log_group_search-slow-queries
    slow_writes  = local.arn.log_group_search-slow-writes
  }

  subnet_ids        = module.network.isolated_subnet_ids
  security_group_id = module.network.security_group_ids.search
  emulated          = var.emulated
}
