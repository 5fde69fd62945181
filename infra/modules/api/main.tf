# The search API on Fargate (docs/search-api.md): it keeps nothing that another task would miss.

locals {
  name = "searchsync-search-api"
  port = 8080

  environment = merge(var.settings, {
    AWS_DEFAULT_REGION                = var.region
    SEARCHSYNC_OPENSEARCH_AWS_SERVICE = "es"
    SEARCH_API_ENVIRONMENT            = "production" # of every environment on AWS: no emulator stands in here
    SEARCH_API_PORT                   = tostring(local.port)
    SEARCH_API_WORKERS                = "1" # one worker uses one core; tasks are scaled instead
  })
}

resource "aws_ecs_task_definition" "search_api" {
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  task_role_arn            = var.role_arns.task
  execution_role_arn       = var.role_arns.execution
  skip_destroy             = true # a rollback goes back to an earlier revision

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  container_definitions = jsonencode([{
    name                   = local.name
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    user                   = "50000:50000"
    stopTimeout            = 30 # requests that are under way get 10 seconds
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"], add = [] } }
    portMappings           = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
    mountPoints            = []
    volumesFrom            = []
    systemControls         = []

    # The process answers; it asks nobody else. An outage of OpenSearch replaces no task.
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:${local.port}/health', timeout=5)"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 60
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group
        awslogs-region        = var.region
        awslogs-stream-prefix = "task"
        mode                  = "non-blocking" # a slow CloudWatch must not hold up searches
        max-buffer-size       = "8m"
      }
    }
  }])
}

resource "aws_ecs_service" "search_api" {
  name                              = local.name
  cluster                           = var.cluster.arn
  task_definition                   = aws_ecs_task_definition.search_api.arn
  launch_type                       = "FARGATE"
  desired_count                     = var.scaling.min
  health_check_grace_period_seconds = 60
  propagate_tags                    = "SERVICE"

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

  load_balancer {
    target_group_arn = var.target_group.arn
    container_name   = local.name
    container_port   = local.port
  }

  lifecycle {
    # Scaling decides how many; and what runs, the deployment, share by share (local/deployment/search_api.py).
    ignore_changes = [desired_count, task_definition]
  }
}

# New tasks beside those above, during a canary alone. It differs in its name, its target group and its number of tasks.
# Nothing is brought back here: the deployment stops the tasks of a definition that fails.
resource "aws_ecs_service" "canary" {
  name                              = "${local.name}-canary"
  cluster                           = var.cluster.arn
  task_definition                   = aws_ecs_task_definition.search_api.arn
  launch_type                       = "FARGATE"
  desired_count                     = 0
  health_check_grace_period_seconds = 60
  propagate_tags                    = "SERVICE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = false
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = var.canary_target_group_arn
    container_name   = local.name
    container_port   = local.port
  }

  lifecycle {
    ignore_changes = [desired_count, task_definition]
  }
}

resource "aws_appautoscaling_target" "search_api" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.search_api.name}"
  min_capacity       = var.scaling.min
  max_capacity       = var.scaling.max

  lifecycle {
    ignore_changes = [suspended_state] # during a canary, the deployment lets no task go
  }
}
