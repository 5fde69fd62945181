module "network" {
  source = "./modules/network"

  region              = var.region
  name                = local.names.prefix
  cidr                = local.environment.vpc_cidr
  zones               = local.environment.zones
  nat_gateways        = local.environment.nat_gateways
  interface_endpoints = local.environment.interface_endpoints
  operator_cidrs      = local.environment.operator_cidrs
  flow_logs = {
    log_group_arn = module.observe.log_groups["flow-logs"].arn
    role_arn      = module.identity.role_arns["flow-logs"]
  }
}
