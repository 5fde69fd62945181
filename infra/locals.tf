# What the product's own files say, and the names and ARNs that follow from it. ARNs are composed here, so that policies
# are known when Terraform plans.

locals {
  include = "${path.module}/../include"

  # The table of values, and the column of this environment.
  environments = yamldecode(file("${path.module}/environments.yaml"))
  environment  = { for name, row in local.environments : name => row[var.environment] }

  entities = {
    for file in fileset("${local.include}/entities", "*.yaml") :
    trimsuffix(file, ".yaml") => yamldecode(file("${local.include}/entities/${file}"))
  }
  postgres = { for name, entity in local.entities : name => entity if entity.source == "postgres" }
  dynamodb = {
    for name, entity in local.entities : name => {
      table       = try(entity.table, name)
      key         = entity.key
      key_types   = try(entity.key_types, [for part in entity.key : "S"])
      expires     = try(entity.expires, null)
      from_export = try(entity.read_from, "scan") == "export"
    } if entity.source == "dynamodb"
  }
  # Several entities may share a table; then they say the same about it.
  tables = {
    for table, entities in { for entity in values(local.dynamodb) : entity.table => entity... } : table => {
      key       = one(distinct([for entity in entities : entity.key]))
      key_types = one(distinct([for entity in entities : entity.key_types]))
      expires   = one(distinct([for entity in entities : entity.expires]))
    }
  }

  stream_settings = jsondecode(file("${path.module}/../lambdas/stream/settings.json"))
}

locals {
  names = {
    prefix             = "searchsync"
    domain             = "searchsync"
    tables             = { for name, entity in local.dynamodb : name => entity.table }
    functions          = { for name in keys(local.dynamodb) : name => "${name}-stream" }
    dead_letter_queues = { for name in keys(local.dynamodb) : name => "${name}-dlq" }
    parked_queues      = { for name in keys(local.dynamodb) : name => "${name}-parked" }
    databases          = local.database_names
    caches             = { broker = "searchsync-broker", cache = "searchsync-cache" }
    repositories       = { airflow = "searchsync-airflow", search_api = "searchsync-search-api" }
    # Names of buckets are unique in the world, so the account is part of them.
    buckets = { for purpose in local.bucket_purposes : purpose => "searchsync-${purpose}-${var.account_id}" }
    # In another region. Exports are made again, and access logs are not needed to go on elsewhere.
    bucket_copies = { for purpose in ["records", "snapshots"] : purpose => "searchsync-${purpose}-${var.account_id}-replica" }
    roles         = { for role in local.role_names : role => "searchsync-${role}" }
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
  role_names = concat(
    [for name in keys(local.dynamodb) : "stream-${name}"],
    [
      "airflow-task", "airflow-execution", "search-api-task", "search-api-execution", "snapshot", "token-customisation",
      "replication", "rds-monitoring", "flow-logs", "deploy", "opensearch-admin", "chatbot",
    ],
  )
  secret_names = [
    "airflow-api-secret-key", "airflow-fernet-key", "airflow-jwt-secret", "airflow-database", "slack-webhook",
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

  # By what they name; `<kind>_<name>` where there are several.
  arn = merge(
    {
      account        = "arn:${local.partition}:iam::${var.account_id}:root"
      domain         = "arn:${local.partition}:es:${local.here}:domain/${local.names.domain}"
      keys           = "arn:${local.partition}:kms:${local.here}:key/*" # with a condition kms:ResourceAliases
      cluster        = "arn:${local.partition}:ecs:${local.here}:cluster/${local.names.prefix}"
      source_login   = "arn:${local.partition}:rds-db:${local.here}:dbuser:*/locations_reader"
      all_parameters = "arn:${local.partition}:ssm:${local.here}:parameter/searchsync/*"
      all_log_groups = "arn:${local.partition}:logs:${local.here}:log-group:/searchsync/*"
    },
    { for name, table in local.names.tables : "table_${name}" => "arn:${local.partition}:dynamodb:${local.here}:table/${table}" },
    # The ARN of a stream ends in the time at which it was made.
    { for name, table in local.names.tables : "stream_${name}" => "arn:${local.partition}:dynamodb:${local.here}:table/${table}/stream/*" },
    { for name, table in local.names.tables : "export_${name}" => "arn:${local.partition}:dynamodb:${local.here}:table/${table}/export/*" },
    { for name, function in local.names.functions : "function_${name}" => "arn:${local.partition}:lambda:${local.here}:function:${function}" },
    { for name, queue in local.names.dead_letter_queues : "dead_letters_${name}" => "arn:${local.partition}:sqs:${local.here}:${queue}" },
    { for name, queue in local.names.parked_queues : "parked_${name}" => "arn:${local.partition}:sqs:${local.here}:${queue}" },
    { for purpose, bucket in local.names.buckets : "bucket_${purpose}" => "arn:${local.partition}:s3:::${bucket}" },
    { for purpose, bucket in local.names.bucket_copies : "bucket_copy_${purpose}" => "arn:${local.partition}:s3:::${bucket}" },
    { for kind, repository in local.names.repositories : "repository_${kind}" => "arn:${local.partition}:ecr:${local.here}:repository/${repository}" },
    { for purpose, group in local.names.log_groups : "log_group_${purpose}" => "arn:${local.partition}:logs:${local.here}:log-group:${group}" },
    { for role, name in local.names.roles : "role_${role}" => "arn:${local.partition}:iam::${var.account_id}:role/${name}" },
    # Secrets Manager appends a hyphen and six characters of its own.
    { for secret, name in local.names.secrets : "secret_${secret}" => "arn:${local.partition}:secretsmanager:${local.here}:secret:${name}-??????" },
  )
}
