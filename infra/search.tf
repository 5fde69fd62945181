module "search" {
  source = "./modules/search"

  name    = local.names.domain
  arn     = local.arn.domain
  account = { id = var.account_id, arn = local.arn.account }

  nodes             = local.environment.search_nodes
  managers          = local.environment.search_managers
  standby           = local.environment.search_standby
  auto_tune         = local.environment.search_auto_tune
  key_arn           = local.key_arns.search
  administrator_arn = module.identity.role_arns["opensearch-admin"]
  log_group_arns = {
    application  = module.observe.log_groups["search-application"].arn
    audit        = module.observe.log_groups["search-audit"].arn
    slow_queries = module.observe.log_groups["search-slow-queries"].arn
    slow_writes  = module.observe.log_groups["search-slow-writes"].arn
  }

  subnet_ids        = module.network.isolated_subnet_ids
  security_group_id = module.network.security_group_ids.search
  emulated          = var.emulated
}
