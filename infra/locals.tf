# What the product's own files say, and the names that follow from it. ARNs are composed, so that policies are known when
# Terraform plans.

locals {
  include = "${path.module}/../include"

  # The table of values, and the column of this environment.
  environments = yamldecode(file("${path.module}/environments.yaml"))
  environment  = { for name, row in local.environments : name => row[var.environment] }

  entities = {
    for file in fileset("${local.include}/entities", "*.yaml") :
    trimsuffix(file, ".yaml") => yamldecode(file("${local.include}/entities/${file}"))
  }
  dynamodb = {
    for name, entity in local.entities : name => {
      table = try(entity.table, name)
      key   = entity.key
      # Terraform reads N in YAML as false, unlike Python.
      key_types   = [for type in try(entity.key_types, [for part in entity.key : "S"]) : type == false ? "N" : type]
      expires     = try(entity.expires, null)
      from_export = try(entity.read_from, "scan") == "export"
      heartbeat   = try(entity.heartbeat[entity.key[0]], null)
    } if entity.source == "dynamodb"
  }
  # Several entities may share a table; then none says otherwise about it than another one.
  tables = {
    for table, entities in { for entity in values(local.dynamodb) : entity.table => entity... } : table => {
      key       = one(distinct([for entity in entities : entity.key]))
      key_types = one(distinct([for entity in entities : entity.key_types]))
      expires   = one(compact(distinct([for entity in entities : entity.expires])))
    }
  }

  stream_settings = jsondecode(file("${path.module}/../lambdas/stream/settings.json"))
}

locals {
  names = {
    prefix             = "searchsync"
    domain             = "searchsync"
    functions          = { for name in keys(local.dynamodb) : name => "${name}-stream" }
    dead_letter_queues = { for name in keys(local.dynamodb) : name => "${name}-dlq" }
    parked_queues      = { for name in keys(local.dynamodb) : name => "${name}-parked" }
    databases          = local.database_names
    caches             = { broker = "searchsync-broker", cache = "searchsync-cache" }
    # Names of buckets are unique in the world, so the account is part of them.
    buckets = { for purpose in local.bucket_purposes : purpose => "searchsync-${purpose}-${var.account_id}" }
    # In another region. Exports are made again, and access logs are not needed to go on elsewhere.
    bucket_copies = { for purpose in ["records", "snapshots"] : purpose => "searchsync-${purpose}-${var.account_id}-replica" }
    # Module observe makes them all. WAF takes a group only if its name begins like that.
    log_groups = merge(
      { for purpose in local.log_purposes : purpose => "/searchsync/${purpose}" },
      { waf = "aws-waf-logs-searchsync" },
      # RDS chooses these names.
      { for purpose, name in local.database_names : "database-${purpose}" => "/aws/rds/instance/${name}/postgresql" },
    )
    token_customisation = "searchsync-token-customisation" # a function of Cognito's
    secrets             = { for secret in local.secret_names : secret => "searchsync/${secret}" }
    # A key is named by its alias: its ARN is not known before it is made.
    key_aliases = { for purpose in local.key_purposes : purpose => "alias/searchsync-${purpose}" }
  }

  bucket_purposes = ["snapshots", "records", "exports", "logs"]
  database_names  = { source = "searchsync-source", airflow = "searchsync-airflow" }
  key_purposes    = ["tables", "databases", "search", "caches", "objects", "queues", "secrets", "logs", "alarms"]
  secret_names = [
    "airflow-api-secret-key", "airflow-fernet-key", "airflow-jwt-secret", "airflow-database", "airflow-login",
    "airflow-viewer", "slack-webhook",
    "search-api-cursor-keys", "search-api-warmer",
  ]
  log_purposes = concat(
    [for name in keys(local.dynamodb) : "stream-${name}"],
    [
      "airflow", "search-api", "token-customisation", "edge", "flow-logs",
      "search-application", "search-audit", "search-slow-queries", "search-slow-writes",
    ],
  )
}

locals {
  partition = "aws" # var.region is of no other one
  here      = "${var.region}:${var.account_id}"

  # What policies of keys and of the domain have to name. Roles are in include/policies/roles.yaml.
  arn = {
    account = "arn:${local.partition}:iam::${var.account_id}:root"
    domain  = "arn:${local.partition}:es:${local.here}:domain/${local.names.domain}"
  }
}
