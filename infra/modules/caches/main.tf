# Two caches, because one policy of eviction cannot serve both: the queue must lose nothing, the answers may.
# Neither has backups: Airflow sends again what was lost, and answers are made again. Neither has a password: it would
# stand in Terraform's state. Security groups let in nobody but the services.

locals {
  eviction = {
    broker = "noeviction"
    cache  = "allkeys-lru"
  }
}

resource "aws_elasticache_subnet_group" "this" {
  name       = "searchsync"
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  for_each = var.names

  name        = "${each.value}-valkey8"
  family      = "valkey8"
  description = "What happens when the memory is full: ${local.eviction[each.key]}"

  parameter {
    name  = "maxmemory-policy"
    value = local.eviction[each.key]
  }
}

resource "aws_elasticache_replication_group" "this" {
  for_each = var.names

  replication_group_id = each.value
  description          = "searchsync: ${each.key}"
  engine               = "valkey"
  engine_version       = "8.0"
  node_type            = var.node_type
  port                 = 6379

  # One shard: Celery's client knows no cluster mode.
  num_cache_clusters         = var.nodes
  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1

  parameter_group_name = aws_elasticache_parameter_group.this[each.key].name
  subnet_group_name    = aws_elasticache_subnet_group.this.name
  security_group_ids   = [var.security_group_ids[each.key]]

  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"

  maintenance_window         = "sun:05:00-sun:06:00"
  auto_minor_version_upgrade = true
  snapshot_retention_limit   = 0
}
