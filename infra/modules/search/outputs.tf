output "endpoint" {
  description = "Host of the domain, without a scheme."
  value       = aws_opensearch_domain.this.endpoint
}
