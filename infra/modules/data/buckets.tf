locals {
  # Days after which objects are archived and deleted, and that an earlier version is kept.
  days = {
    # OpenSearch cannot read what is archived, and its snapshots share files: whoever made a snapshot deletes it.
    snapshots = { earlier = 30 }
    # What no function could write. The stream forgets a record after one day, the queue after 14.
    records = { deleted = 30, earlier = 7 }
    # An export is read within a day, and made again for each reindex.
    exports = { deleted = 7, earlier = 1 }
    # Access logs of load balancers.
    logs = { archived = 90, deleted = 400, earlier = 30 }
  }

  statements = {
    logs = [{
      Sid       = "LoadBalancersWrite"
      Effect    = "Allow"
      Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "arn:aws:s3:::${var.buckets.logs}/*/AWSLogs/${var.account_id}/*"
    }]
  }

  copies = var.copy_objects ? var.bucket_copies : {}
}

module "bucket" {
  source   = "../bucket"
  for_each = var.buckets

  name                = each.value
  key                 = each.key == "logs" ? null : { arn = var.keys.objects } # load balancers cannot use a key
  delete_with_objects = !var.deletion_protection
  days                = local.days[each.key]
  statements          = try(local.statements[each.key], [])
}

# Keys do not leave their region: copies have one of their own.
module "replica_key" {
  source    = "../keys"
  count     = var.copy_objects ? 1 : 0
  providers = { aws = aws.replica }

  aliases        = { objects = "alias/searchsync-objects" }
  account_arn    = "arn:aws:iam::${var.account_id}:root"
  service_access = {}
}

module "replica" {
  source    = "../bucket"
  for_each  = local.copies
  providers = { aws = aws.replica }

  name                = each.value
  key                 = { arn = module.replica_key[0].arns.objects }
  delete_with_objects = false
  days                = local.days[each.key]
}

resource "aws_s3_bucket_replication_configuration" "this" {
  for_each = local.copies

  bucket = module.bucket[each.key].name
  role   = var.role_arns.replication

  rule {
    id     = "all"
    status = "Enabled"
    filter {}

    delete_marker_replication {
      status = "Enabled" # a snapshot's files go together, or the copy cannot be restored
    }

    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }

    destination {
      bucket        = module.replica[each.key].arn
      storage_class = "STANDARD_IA"

      encryption_configuration {
        replica_kms_key_id = module.replica_key[0].arns.objects
      }

      replication_time {
        status = "Enabled"
        time {
          minutes = 15
        }
      }

      metrics {
        status = "Enabled"
        event_threshold {
          minutes = 15
        }
      }
    }
  }
}
