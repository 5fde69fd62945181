# Airflow on Fargate: the services of docker-compose.yaml on the same image (docs/operations/airflow.md).

locals {
  name       = "searchsync-airflow"
  port       = 8080
  namespace  = "searchsync.internal"
  api_server = "airflow-api-server.${local.namespace}"

  # A process starts only when the one-off task has migrated the database: an image may need another one than the last.
  after_migration = "airflow db check-migrations --migration-wait-timeout 240 && exec airflow"

  health = {
    of_itself = {
      api-server = "import urllib.request as r; r.urlopen('http://localhost:${local.port}/api/v2/monitor/health', timeout=5)"
      scheduler  = "import urllib.request as r; r.urlopen('http://localhost:8974/health', timeout=5)"
    }
    # These two have no port of their own to ask; the API server knows their heartbeats.
    by_api_server = {
      for name in ["dag-processor", "triggerer"] : name => join("; ", [
        "import json, sys, urllib.request as r",
        "health = json.load(r.urlopen('http://${local.api_server}:${local.port}/api/v2/monitor/health', timeout=5))",
        "sys.exit(health['${replace(name, "-", "_")}']['status'] != 'healthy')",
      ])
    }
  }

  services = {
    api-server = merge(var.services.api-server, {
      command = <<-EOT
        mkdir -p "$AIRFLOW_HOME"
        (umask 077; printf '{"admin": "%s", "viewer": "%s"}\n' "$SEARCHSYNC_AIRFLOW_PASSWORD" "$AIRFLOW_VIEWER_PASSWORD" > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
        ${local.after_migration} api-server
      EOT
      health  = ["CMD", "python", "-c", local.health.of_itself.api-server]
    })
    scheduler = merge(var.services.scheduler, {
      command = "${local.after_migration} scheduler"
      health  = ["CMD", "python", "-c", local.health.of_itself.scheduler]
    })
    dag-processor = merge(var.services.dag-processor, {
      command = "${local.after_migration} dag-processor"
      health  = ["CMD", "python", "-c", local.health.by_api_server.dag-processor]
    })
    triggerer = merge(var.services.triggerer, {
      command = "${local.after_migration} triggerer"
      health  = ["CMD", "python", "-c", local.health.by_api_server.triggerer]
    })
    worker = {
      cpu     = var.workers.cpu
      memory  = var.workers.memory
      tasks   = var.workers.min
      command = "${local.after_migration} celery worker"
      # This very worker answers over the queue.
      health = ["CMD-SHELL", "celery --broker \"$AIRFLOW__CELERY__BROKER_URL\" inspect ping --destination \"celery@$(hostname)\""]
    }
  }

  # Made by a deployment, before it changes services: `aws ecs run-task`. With another command it is an operator's shell.
  once = {
    migrate = {
      cpu     = var.services.scheduler.cpu
      memory  = var.services.scheduler.memory
      command = "airflow db migrate && airflow pools set ${local.load_pool} ${var.load_slots} 'Load tasks that may run at the same time'"
      health  = null
    }
  }

  secrets = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
  # Only the API server shows a login, and knows who may.
  logins = ["AIRFLOW_VIEWER_PASSWORD", "SEARCHSYNC_AIRFLOW_PASSWORD"]
  secrets_of = {
    for service in concat(keys(local.services), keys(local.once)) :
    service => [for secret in local.secrets : secret if service == "api-server" || !contains(local.logins, secret.name)]
  }
}

resource "aws_ecs_task_definition" "this" {
  for_each = merge(
    { for name, service in local.services : name => { cpu = service.cpu, memory = service.memory, command = service.command, health = service.health } },
    { for name, task in local.once : name => { cpu = task.cpu, memory = task.memory, command = task.command, health = task.health } },
  )

  family                   = "${local.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  task_role_arn            = var.role_arns.task
  execution_role_arn       = var.role_arns.execution
  skip_destroy             = true # a rollback goes back to an earlier revision

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "scratch"
  }

  volume {
    name = "reports"

    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.reports.id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = aws_efs_access_point.reports.id
        iam             = "ENABLED"
      }
    }
  }

  container_definitions = jsonencode([merge(
    {
      name                   = "airflow"
      image                  = var.image
      essential              = true
      command                = ["bash", "-ec", each.value.command]
      readonlyRootFilesystem = true
      user                   = "50000:0"
      # The longest that Fargate waits. A worker ends what it runs; until that is done, nothing scales it in (ecs_worker).
      stopTimeout     = 120
      linuxParameters = { initProcessEnabled = true, capabilities = { drop = ["ALL"], add = [] } }
      portMappings    = each.key == "api-server" ? [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }] : []
      environment     = [for name in sort(keys(local.settings)) : { name = name, value = local.settings[name] }]
      secrets         = local.secrets_of[each.key]
      volumesFrom     = []
      systemControls  = []
      mountPoints = [
        { sourceVolume = "scratch", containerPath = "/tmp", readOnly = false },
        { sourceVolume = "reports", containerPath = local.reports, readOnly = false },
      ]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = var.log_group.name
          awslogs-region        = var.region
          awslogs-stream-prefix = each.key
          mode                  = "non-blocking"
          max-buffer-size       = "8m"
        }
      }
    },
    each.value.health == null ? {} : {
      healthCheck = { command = each.value.health, interval = 30, timeout = 20, retries = 5, startPeriod = 300 }
    },
  )])
}

resource "aws_ecs_service" "this" {
  for_each = local.services

  name                              = "${local.name}-${each.key}"
  cluster                           = var.cluster.arn
  task_definition                   = aws_ecs_task_definition.this[each.key].arn
  launch_type                       = "FARGATE"
  desired_count                     = each.value.tasks
  health_check_grace_period_seconds = each.key == "api-server" ? 300 : null
  propagate_tags                    = "SERVICE"

  # New tasks are well before old ones go. Two schedulers at once are what Airflow is made for.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = each.key == "api-server" ? [var.target_group_arn] : []

    content {
      target_group_arn = load_balancer.value
      container_name   = "airflow"
      container_port   = local.port
    }
  }

  dynamic "service_registries" {
    for_each = each.key == "api-server" ? [aws_service_discovery_service.api_server.arn] : []

    content {
      registry_arn = service_registries.value
    }
  }

  depends_on = [aws_efs_mount_target.reports]

  lifecycle {
    ignore_changes = [desired_count] # of workers, scaling decides; of others, an operator may
  }
}

# The name under which tasks reach the API server, inside of the network alone.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = local.namespace
  description = "Names of searchsync's own services."
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "api_server" {
  name = "airflow-api-server"

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  health_check_custom_config {
    failure_threshold = 1
  }
}
