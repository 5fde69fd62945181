resource "aws_flow_log" "this" {
  vpc_id               = aws_vpc.this.id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = var.flow_logs.log_group_arn
  iam_role_arn         = var.flow_logs.role_arn

  tags = { Name = var.name }
}
