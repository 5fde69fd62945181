# Airflow and the search API run in one cluster: a name for their services, which costs nothing.
resource "aws_ecs_cluster" "this" {
  name = local.names.prefix

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}
