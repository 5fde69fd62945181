module "identity" {
  source = "./modules/identity"

  roles_file = "${local.include}/policies/roles.yaml"
  entities   = local.dynamodb
  place = {
    partition      = local.partition
    region         = var.region
    account        = var.account_id
    replica_region = coalesce(local.environment.replica_region, var.region)
    repository     = local.environment.github_repository
    environment    = var.environment
  }
}
