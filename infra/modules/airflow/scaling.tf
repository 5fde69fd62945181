# Workers are added when Airflow's tasks wait, and taken away when they idle.

locals {
  # What each worker prints once a minute (plugins/search_ops/ecs_worker.py): the tasks that wait, which are the same for
  # all, and those that it runs. How many workers there are is how many have printed.
  metrics = {
    queued  = { name = "QueuedTasks", stat = "Average" }
    running = { name = "RunningTasks", stat = "Average" }
    workers = { name = "RunningTasks", stat = "SampleCount" }
  }
}

resource "aws_appautoscaling_target" "workers" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.this["worker"].name}"
  min_capacity       = var.workers.min
  max_capacity       = var.workers.max
}

resource "aws_appautoscaling_policy" "workers" {
  name               = "${local.name}-worker-tasks"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.workers.service_namespace
  scalable_dimension = aws_appautoscaling_target.workers.scalable_dimension
  resource_id        = aws_appautoscaling_target.workers.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.workers.target
    scale_out_cooldown = 120
    scale_in_cooldown  = 600

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.metrics

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = metrics.value.stat

            metric {
              namespace   = "SearchSync"
              metric_name = metrics.value.name

              dimensions {
                name  = "Service"
                value = "airflow-worker"
              }
            }
          }
        }
      }

      metrics {
        id          = "tasks_of_a_worker"
        label       = "Airflow tasks, queued and running, for each worker"
        expression  = "queued / workers + running"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_scheduled_action" "workers" {
  for_each = var.schedule

  name               = "${local.name}-worker-${each.key}"
  service_namespace  = aws_appautoscaling_target.workers.service_namespace
  scalable_dimension = aws_appautoscaling_target.workers.scalable_dimension
  resource_id        = aws_appautoscaling_target.workers.resource_id
  schedule           = each.value.when
  timezone           = "UTC"

  scalable_target_action {
    min_capacity = each.value.min
    max_capacity = each.value.max
  }
}
