# Bucket, key, region and KMS key of the state are told by `terraform init -backend-config=...`: each environment has an
# account of its own, and a state of its own in it.
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
