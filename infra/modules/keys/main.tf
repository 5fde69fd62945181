# One key for each purpose: who may read one kind of data cannot read another, and a key can be closed alone.

resource "aws_kms_key" "this" {
  for_each = var.aliases

  description             = "searchsync: ${each.key}"
  enable_key_rotation     = true
  rotation_period_in_days = 365
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "PoliciesOfRolesDecide"
        Effect    = "Allow"
        Principal = { AWS = var.account_arn }
        Action    = "kms:*"
        Resource  = "*"
      }],
      [for access in [try(var.service_access[each.key], null)] : {
        Sid       = "ServiceOfAws"
        Effect    = "Allow"
        Principal = { Service = access.principal }
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = access.condition
      } if access != null],
    )
  })
}

resource "aws_kms_alias" "this" {
  for_each = var.aliases

  name          = each.value
  target_key_id = aws_kms_key.this[each.key].id
}
