# What every process of Airflow is told. tests/infra/test_airflow_plan.py holds it against docker-compose.yaml and names
# each difference.

locals {
  home         = "/tmp/airflow" # beside the secrets, all that a process writes; the image itself is read-only
  reports      = "/opt/airflow/reports"
  load_pool    = "searchsync_load"
  certificates = "/usr/local/share/ca-certificates/rds.pem" # of RDS' own authority; in the image

  settings = merge(
    {
      AIRFLOW_HOME                                              = local.home
      HOME                                                      = local.home
      AIRFLOW__API__BASE_URL                                    = var.url
      AIRFLOW__API__WORKERS                                     = "1"
      AIRFLOW__CELERY__BROKER_URL                               = "rediss://${var.broker_host}:6379/0?ssl_cert_reqs=required"
      AIRFLOW__CELERY__EXTRA_CELERY_CONFIG                      = jsonencode({ imports = ["search_ops.ecs_worker"] })
      AIRFLOW__CELERY__WORKER_CONCURRENCY                       = tostring(var.workers.concurrency)
      AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION                = "True"
      AIRFLOW__CORE__DAGS_FOLDER                                = "/opt/airflow/dags"
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL                   = "http://${local.api_server}:${local.port}/execution/"
      AIRFLOW__CORE__EXECUTOR                                   = "CeleryExecutor"
      AIRFLOW__CORE__LOAD_EXAMPLES                              = "False"
      AIRFLOW__CORE__PLUGINS_FOLDER                             = "/opt/airflow/plugins"
      AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE         = "${local.home}/passwords.json"
      AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS                  = "admin:admin,viewer:viewer"
      AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL = "error"
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN                       = "postgresql+psycopg://${var.airflow_database.user}@${var.airflow_database.host}:${var.airflow_database.port}/${var.airflow_database.name}"
      AIRFLOW__LOGGING__BASE_LOG_FOLDER                         = "${local.home}/logs"
      AIRFLOW__LOGGING__JSON_LOGS                               = "True" # of what the containers print
      AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS                    = "search_ops.cloudwatch_logs.LOGGING_CONFIG"
      AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER                  = "cloudwatch://${var.log_group.arn}"
      AIRFLOW__LOGGING__REMOTE_LOGGING                          = "True"
      AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID                      = "aws_default"
      AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK                   = "True"
      AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS                    = "True"
      AIRFLOW__WORKERS__EXECUTION_API_RETRIES                   = "20" # a task survives the restart of the API server
      AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX            = "15"
      AWS_DEFAULT_REGION                                        = var.region
      GX_ANALYTICS_ENABLED                                      = "false"
      MALLOC_MMAP_THRESHOLD_                                    = "1000000" # else the heap of a load grows with the table
      # Of each connection of libpq and asyncpg, so also of the database of Airflow.
      PGSSLMODE     = "verify-full"
      PGSSLROOTCERT = local.certificates

      SEARCHSYNC_AIRFLOW_URL            = var.url
      SEARCHSYNC_ENVIRONMENT            = var.environment
      SEARCHSYNC_LOAD_POOL              = local.load_pool
      SEARCHSYNC_OPENSEARCH_AWS_SERVICE = "es"
      SEARCHSYNC_OPENSEARCH_URL         = "https://${var.opensearch_host}"
      SEARCHSYNC_POSTGRES_DSN           = "host=${var.source_database.host} port=${var.source_database.port} dbname=${var.source_database.name} user=locations_reader sslmode=verify-full sslrootcert=${local.certificates}"
      SEARCHSYNC_POSTGRES_IAM           = "true"
      SEARCHSYNC_REPORTS                = local.reports
      SEARCHSYNC_TIMEZONE               = "UTC"

      # Without a login: that of the task's role.
      AIRFLOW_CONN_AWS_DEFAULT = jsonencode({ conn_type = "aws", extra = { region_name = var.region } })
      AIRFLOW_CONN_SEARCHSYNC_OPENSEARCH = jsonencode({
        conn_type = "opensearch"
        host      = var.opensearch_host
        port      = 443
        extra     = { aws_conn_id = "aws_default", region = var.region }
      })
      AIRFLOW_CONN_SEARCHSYNC_POSTGRES = jsonencode({
        conn_type = "postgres"
        host      = var.source_database.host
        port      = var.source_database.port
        schema    = var.source_database.name
        login     = "locations_reader"
        extra     = { iam = true, sslmode = "verify-full", sslrootcert = local.certificates }
      })
    },
    # As searchsync.catalog.Entity.variable names them.
    { for name, entity in var.entities : "SEARCHSYNC_${upper(name)}_DEAD_LETTER_QUEUE" => entity.dead_letter_queue_url },
    { for name, entity in var.entities : "SEARCHSYNC_${upper(name)}_PARKED_QUEUE" => entity.parked_queue_url },
    { for name, entity in var.entities : "SEARCHSYNC_${upper(name)}_EXPORT_BUCKET" => entity.export_bucket if entity.export_bucket != null },
  )
}
