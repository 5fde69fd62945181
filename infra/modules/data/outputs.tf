output "stream_arns" {
  description = "Of the tables' streams, by the table's name."
  value       = { for name, table in aws_dynamodb_table.this : name => table.stream_arn }
}

output "database_addresses" {
  description = "Host names of the PostgreSQL instances, by purpose."
  value       = { for purpose, instance in aws_db_instance.this : purpose => instance.address }
}

output "bucket_names" {
  description = "Of the buckets, by purpose; known when they take objects."
  value       = { for purpose, bucket in module.bucket : purpose => bucket.name }
}

output "secret_arns" {
  description = "Of the secrets, by purpose."
  value       = { for purpose, secret in aws_secretsmanager_secret.this : purpose => secret.arn }
}
