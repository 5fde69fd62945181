# Tables of DynamoDB entities. A reindex from an export needs the point-in-time recovery, too.

resource "aws_dynamodb_table" "this" {
  for_each = var.tables

  name                        = each.key
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.key[0]
  range_key                   = try(each.value.key[1], null)
  deletion_protection_enabled = var.deletion_protection

  # The function writes the new image; comparison and replay need the old one.
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  dynamic "attribute" {
    for_each = zipmap(each.value.key, each.value.key_types)

    content {
      name = attribute.key
      type = attribute.value
    }
  }

  dynamic "ttl" {
    for_each = each.value.expires[*]

    content {
      enabled        = true
      attribute_name = ttl.value
    }
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = var.backup_days
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.keys.tables
  }
}
