output "load_balancer" {
  description = "What others need to know of it: names for DNS and for metrics."
  value = {
    arn        = aws_lb.this.arn
    dns_name   = aws_lb.this.dns_name
    zone_id    = aws_lb.this.zone_id
    arn_suffix = aws_lb.this.arn_suffix
  }
}

output "listener_arn" {
  description = "The listener for HTTPS."
  value       = aws_lb_listener.https.arn
}

output "target_group" {
  description = "Its ARN, and its name in metrics. A service can register when it has a listener."
  value = {
    arn        = aws_lb_target_group.this.arn
    arn_suffix = aws_lb_target_group.this.arn_suffix
  }
  depends_on = [aws_lb_listener.https]
}
