module "edge" {
  source = "./modules/edge"

  name                = local.names.prefix
  region              = var.region
  domain_name         = var.domain_name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  security_group_ids  = module.network.security_group_ids
  address_header      = local.address_header
  throttle            = local.environment.throttle
  blocked_countries   = local.environment.blocked_countries
  log_bucket          = module.data.bucket_names.logs
  deletion_protection = local.environment.deletion_protection

  token_customisation = {
    name     = local.names.token_customisation
    package  = var.function_packages.token-customisation
    runtime  = local.stream_settings.function.runtime
    role_arn = module.identity.role_arns["token-customisation"]
  }
  log_groups = {
    edge                = module.observe.log_groups.edge
    waf                 = module.observe.log_groups.waf
    token_customisation = module.observe.log_groups.token-customisation
  }
}

locals {
  # The gateway tells the caller's address in it, the firewall and the search API read it there.
  address_header = "x-client-address"
}
