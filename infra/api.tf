module "api" {
  source = "./modules/api"

  cluster  = { arn = aws_ecs_cluster.this.arn, name = aws_ecs_cluster.this.name }
  image    = var.search_api_image
  region   = var.region
  size     = local.environment.search_api_size
  scaling  = local.environment.search_api_scaling
  schedule = local.environment.search_api_schedule
  settings = merge(local.agent, {
    SEARCHSYNC_OPENSEARCH_URL = "https://${local.made.opensearch_host}"
    SEARCH_API_ADDRESS_HEADER = local.address_header
    SEARCH_API_AUDIENCE       = join(",", local.made.audience)
    SEARCH_API_ISSUER         = local.made.issuer
    SEARCH_API_REDIS_URL      = "rediss://${local.made.cache}:6379/0"
  })
  secrets            = { SEARCH_API_CURSOR_KEYS = local.made.secret_arns["search-api-cursor-keys"] }
  role_arns          = { task = module.identity.role_arns.search-api-task, execution = module.identity.role_arns.search-api-execution }
  log_group          = module.observe.log_groups.search-api.name
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.network.security_group_ids.search_api]
  target_group = {
    arn   = module.edge.search_api.target_group.arn
    label = "${local.made.load_balancer}/${local.made.target_group}"
  }
  canary_target_group_arn = module.edge.search_api.canary_target_group_arn
}

locals {
  agent = local.environment.agent_guardrail == "" ? {} : {
    SEARCH_API_AGENT_MODEL     = local.environment.agent_model
    SEARCH_API_AGENT_GUARDRAIL = local.environment.agent_guardrail
  }
}
