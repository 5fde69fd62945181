# Both are known when the bucket takes objects: it is versioned and encrypted.

output "name" {
  value      = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this]
}

output "arn" {
  value      = local.arn
  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this]
}
