output "addresses" {
  description = "Host names of the caches, by purpose."
  value       = { for purpose, cache in aws_elasticache_replication_group.this : purpose => cache.primary_endpoint_address }
}
