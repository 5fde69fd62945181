# Two instances of PostgreSQL: what Airflow does to its own state must not slow down the rows that people change.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres18"
  family      = "postgres18"
  description = "TLS for all, time in UTC, and what is slow or waits for a lock in the log"

  dynamic "parameter" {
    for_each = {
      "rds.force_ssl"            = "1"
      timezone                   = "UTC"
      jit                        = "0" # compiling costs more than it saves on queries of this size
      log_lock_waits             = "1"
      log_min_duration_statement = "1000"
      log_statement              = "ddl"
    }

    content {
      name  = parameter.key
      value = parameter.value
    }
  }
}

resource "aws_db_instance" "this" {
  for_each = var.databases

  identifier     = each.value
  engine         = "postgres"
  engine_version = "18"
  instance_class = var.database.class
  db_name        = each.key == "source" ? "app" : "airflow"
  port           = 5432

  # RDS makes the owner's password, keeps it in Secrets Manager and changes it. Readers log in by IAM.
  username                            = "searchsync_owner"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.keys.secrets
  iam_database_authentication_enabled = true

  storage_type          = "gp3"
  allocated_storage     = var.database.gigabytes
  max_allocated_storage = 4 * var.database.gigabytes
  storage_encrypted     = true
  kms_key_id            = var.keys.databases

  multi_az               = var.database.standby
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [var.security_group_ids["${each.key}_database"]]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period    = var.backup_days
  backup_window              = "00:30-01:30"
  maintenance_window         = "sun:04:00-sun:05:00"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = !var.deletion_protection
  final_snapshot_identifier  = "${each.value}-last"

  enabled_cloudwatch_logs_exports = ["postgresql"]
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.keys.databases
  monitoring_interval             = var.database.monitoring_seconds
  monitoring_role_arn             = var.database.monitoring_seconds == 0 ? null : var.role_arns.rds_monitoring

  depends_on = [var.database_log_groups]
}
