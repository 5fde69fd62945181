locals {
  tags = {
    Project     = "searchsync"
    Environment = var.environment
    ManagedBy   = "terraform"
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
  max_retries         = var.emulated ? 5 : null # the emulator answers 500 to what it does not know, for 20 minutes

  default_tags {
    tags = local.tags
  }
}

# Where copies of buckets go. Only production has them; elsewhere nothing is made here.
provider "aws" {
  alias               = "replica"
  region              = coalesce(local.environment.replica_region, var.region)
  allowed_account_ids = [var.account_id]
  max_retries         = var.emulated ? 5 : null

  default_tags {
    tags = local.tags
  }
}
