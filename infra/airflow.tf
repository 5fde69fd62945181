module "airflow" {
  source = "./modules/airflow"

  cluster     = { arn = aws_ecs_cluster.this.arn, name = aws_ecs_cluster.this.name }
  environment = var.environment
  image       = var.airflow_image
  region      = var.region
  url         = module.edge.airflow.url
  services = {
    api-server    = local.environment.airflow_api_server
    scheduler     = local.environment.airflow_scheduler
    dag-processor = local.environment.airflow_dag_processor
    triggerer     = local.environment.airflow_triggerer
  }
  workers    = local.environment.airflow_workers
  schedule   = local.environment.airflow_schedule
  load_slots = local.environment.load_slots

  entities = {
    for name, entity in local.dynamodb : name => {
      dead_letter_queue_url = "${local.queue_url_prefix}${local.names.dead_letter_queues[name]}"
      parked_queue_url      = "${local.queue_url_prefix}${local.names.parked_queues[name]}"
      export_bucket         = entity.from_export ? "${local.names.buckets.exports}/${name}" : null
    }
  }
  connections      = toset([for entity in values(local.entities) : entity.connection if can(entity.connection)])
  opensearch_host  = local.made.opensearch_host
  source_database  = { host = local.made.source_database, port = 5432, name = "app" }
  airflow_database = { host = local.made.airflow_database, port = 5432, name = "airflow", user = "airflow" }
  broker_host      = local.made.broker
  secrets = {
    AIRFLOW__API__SECRET_KEY      = local.made.secret_arns["airflow-api-secret-key"]
    AIRFLOW__API_AUTH__JWT_SECRET = local.made.secret_arns["airflow-jwt-secret"]
    AIRFLOW__CORE__FERNET_KEY     = local.made.secret_arns["airflow-fernet-key"]
    AIRFLOW_CONN_AIRFLOW_API      = local.made.secret_arns["airflow-viewer"]
    AIRFLOW_CONN_SEARCHSYNC_SLACK = local.made.secret_arns["slack-webhook"]
    AIRFLOW_CONN_SEARCH_API       = local.made.secret_arns["search-api-warmer"]
    AIRFLOW_VIEWER_PASSWORD       = "${local.made.secret_arns["airflow-viewer"]}:password::"
    PGPASSWORD                    = local.made.secret_arns["airflow-database"]
    SEARCHSYNC_AIRFLOW_PASSWORD   = local.made.secret_arns["airflow-login"]
  }

  role_arns          = { task = module.identity.role_arns.airflow-task, execution = module.identity.role_arns.airflow-execution }
  log_group          = module.observe.log_groups.airflow
  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.network.security_group_ids.airflow]
  target_group_arn   = module.edge.airflow.target_group_arn
  reports = {
    key_arn            = local.key_arns.objects
    subnet_ids         = module.network.isolated_subnet_ids
    security_group_ids = [module.network.security_group_ids.reports]
  }
}
