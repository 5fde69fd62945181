module "observe" {
  source = "./modules/observe"

  table = yamldecode(file("${local.include}/policies/alarms.yaml"))
  metrics = { # without those of the collector beside the search API, which CloudWatch does not have
    for name, row in yamldecode(file("${local.include}/policies/metrics.yaml")).metrics : name => row if row.by != "scrape"
  }
  environment = var.environment
  name        = local.names.prefix
  region      = var.region
  account_id  = var.account_id

  freshness = {
    for name, entity in local.entities :
    name => merge(yamldecode(file("${local.include}/policies/freshness.yaml")), entity.freshness)
  }
  sizes = {
    search_gigabytes   = local.environment.search_nodes.gigabytes
    database_gigabytes = local.environment.database_gb
  }

  words = {
    account             = var.account_id
    domain              = local.names.domain
    cluster             = local.names.prefix
    token_customisation = local.names.token_customisation
    workers             = "airflow-worker" # as plugins/search_ops/ecs_worker.py calls them
    api                 = local.made.api
    load_balancer       = local.made.load_balancer
    target_group        = local.made.target_group
  }
  each = {
    table = {
      for name in keys(local.dynamodb) : name => {
        entity            = name
        function          = local.names.functions[name]
        dead_letter_queue = local.names.dead_letter_queues[name]
        parked_queue      = local.names.parked_queues[name]
      }
    }
    entity      = { for name in keys(local.entities) : name => { entity = name } }
    synced      = { for name in setsubtract(keys(local.entities), keys(local.dynamodb)) : name => { entity = name } }
    component   = { for name in ["scheduler", "dag_processor", "triggerer"] : name => { component = name } }
    database    = { for purpose, name in local.names.databases : purpose => { database = name } }
    broker_node = { for node in local.cache_node_names.broker : node => { node = node } }
    cache_node  = { for node in local.cache_node_names.cache : node => { node = node } }
    service     = { for name in local.service_names : name => { service = name } }
  }

  log_groups = local.names.log_groups
  log_days   = local.environment.log_days
  key_arns   = { logs = local.key_arns.logs, alarms = local.key_arns.alarms }

  mail = local.environment.alarm_mail
  slack = local.environment.alarm_slack == null ? null : {
    team_id    = local.environment.alarm_slack.team_id
    channel_id = local.environment.alarm_slack.channel_id
    role_arn   = module.identity.role_arns["chatbot"]
  }
  pagerduty_secret = local.environment.alarm_pagerduty ? "searchsync/pagerduty" : null
}

locals {
  # ElastiCache numbers the nodes of a cache.
  cache_node_names = {
    for purpose, name in local.names.caches :
    purpose => [for number in range(local.environment.cache_nodes) : format("%s-%03d", name, number + 1)]
  }
  service_names = concat(
    ["searchsync-search-api", "searchsync-search-api-canary"],
    [for part in ["api-server", "scheduler", "dag-processor", "triggerer", "worker"] : "searchsync-airflow-${part}"],
  )
}
