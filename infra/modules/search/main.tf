locals {
  logs = {
    ES_APPLICATION_LOGS = var.log_group_arns.application
    AUDIT_LOGS          = var.log_group_arns.audit
    SEARCH_SLOW_LOGS    = var.log_group_arns.slow_queries
    INDEX_SLOW_LOGS     = var.log_group_arns.slow_writes
  }
}

resource "aws_cloudwatch_log_resource_policy" "this" {
  policy_name = "${var.name}-opensearch"

  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "es.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = [for arn in values(local.logs) : "${arn}:*"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account.id }
        ArnLike      = { "aws:SourceArn" = var.arn }
      }
    }]
  })
}

resource "aws_opensearch_domain" "this" {
  domain_name    = var.name
  engine_version = "OpenSearch_3.3" # the nearest of the service to the 3.5 that the tests run on; the code uses nothing newer than 2.19

  # Policies of roles say who may call which API; the rights in OpenSearch are fine-grained beside that.
  access_policies = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = var.account.arn }
      Action    = "es:ESHttp*"
      Resource  = "${var.arn}/*"
    }]
  })

  cluster_config {
    instance_type  = var.nodes.type
    instance_count = var.nodes.count

    zone_awareness_enabled        = var.nodes.zones > 1
    multi_az_with_standby_enabled = var.standby

    dynamic "zone_awareness_config" {
      for_each = var.nodes.zones > 1 ? [var.nodes.zones] : []

      content {
        availability_zone_count = zone_awareness_config.value
      }
    }

    # Three, so that two of them agree when one is lost.
    dedicated_master_enabled = var.managers != null
    dedicated_master_type    = var.managers
    dedicated_master_count   = var.managers == null ? null : 3
  }

  ebs_options {
    ebs_enabled = true
    volume_type = "gp3"
    volume_size = var.nodes.gigabytes
    iops        = 3000
    throughput  = var.nodes.megabytes_per_second
  }

  vpc_options {
    subnet_ids         = slice(var.subnet_ids, 0, var.nodes.zones)
    security_group_ids = [var.security_group_id]
  }

  encrypt_at_rest {
    enabled    = true
    kms_key_id = var.key_arn
  }

  node_to_node_encryption {
    enabled = true
  }

  domain_endpoint_options {
    enforce_https       = true
    tls_security_policy = "Policy-Min-TLS-1-2-PFS-2023-10"
  }

  # Roles of IAM alone: there are no passwords in OpenSearch.
  advanced_security_options {
    enabled                        = true
    anonymous_auth_enabled         = false
    internal_user_database_enabled = false

    master_user_options {
      master_user_arn = var.administrator_arn
    }
  }

  # What needs new nodes happens in these ten hours, in UTC.
  off_peak_window_options {
    enabled = true

    off_peak_window {
      window_start_time {
        hours   = 20
        minutes = 0
      }
    }
  }

  auto_tune_options {
    desired_state       = var.auto_tune ? "ENABLED" : "DISABLED"
    rollback_on_disable = "NO_ROLLBACK"
    use_off_peak_window = var.auto_tune
  }

  software_update_options {
    auto_software_update_enabled = true
  }

  dynamic "log_publishing_options" {
    for_each = local.logs

    content {
      log_type                 = log_publishing_options.key
      cloudwatch_log_group_arn = log_publishing_options.value
    }
  }

  timeouts {
    create = var.emulated ? "1s" : "90m"
    update = var.emulated ? "1s" : "180m"
    delete = var.emulated ? "1s" : "90m"
  }

  depends_on = [aws_cloudwatch_log_resource_policy.this]
}
