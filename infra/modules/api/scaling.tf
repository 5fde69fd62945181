locals {
  # What is measured, and the value that scaling keeps it near.
  tracked = {
    cpu      = { metric = "ECSServiceAverageCPUUtilization", label = null, target = var.scaling.cpu_percent }
    memory   = { metric = "ECSServiceAverageMemoryUtilization", label = null, target = var.scaling.memory_percent }
    requests = { metric = "ALBRequestCountPerTarget", label = var.target_group.label, target = var.scaling.requests_per_minute }
  }
}

resource "aws_appautoscaling_policy" "search_api" {
  for_each = local.tracked

  name               = "searchsync-search-api-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.search_api.service_namespace
  scalable_dimension = aws_appautoscaling_target.search_api.scalable_dimension
  resource_id        = aws_appautoscaling_target.search_api.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
      resource_label         = each.value.label
    }
  }
}

resource "aws_appautoscaling_scheduled_action" "search_api" {
  for_each = var.schedule

  name               = "searchsync-search-api-${each.key}"
  service_namespace  = aws_appautoscaling_target.search_api.service_namespace
  scalable_dimension = aws_appautoscaling_target.search_api.scalable_dimension
  resource_id        = aws_appautoscaling_target.search_api.resource_id
  schedule           = each.value.when
  timezone           = "UTC"

  scalable_target_action {
    min_capacity = each.value.min
    max_capacity = each.value.max
  }
}
