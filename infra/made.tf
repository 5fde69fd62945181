# What only AWS knows, and not before it is made: who runs is told it as environment variables. Tests of plans put values
# of their own in its place (tests/infra/plans.py), and see each variable then.
locals {
  made = {
    opensearch_host  = module.search.endpoint
    source_database  = module.data.database_addresses.source
    airflow_database = module.data.database_addresses.airflow
    broker           = local.cache_addresses.broker
    cache            = local.cache_addresses.cache
    records_bucket   = module.data.bucket_names.records
    secret_arns      = module.data.secret_arns
    issuer           = module.edge.search_api.issuer
    audience         = module.edge.search_api.audience
    api              = module.edge.api_id
    load_balancer    = module.edge.search_api.load_balancer.arn_suffix
    target_group     = module.edge.search_api.target_group.arn_suffix
  }
}

# Not among those above: what has a name there is made with a key, so keys come first.
locals {
  key_arns = module.keys.arns
}
