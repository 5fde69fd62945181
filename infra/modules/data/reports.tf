# The files that DAG runs write for operators: workers write them, the API server shows them.

resource "aws_efs_file_system" "reports" {
  creation_token = "${var.name}-reports"
  encrypted      = true
  kms_key_id     = var.keys.objects

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  tags = { Name = "${var.name}-reports" }
}

# With a policy of its own, the file system lets in only roles whose policies say so. Without one it lets in everybody.
resource "aws_efs_file_system_policy" "reports" {
  file_system_id = aws_efs_file_system.reports.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NothingWithoutTls"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "*"
      Resource  = aws_efs_file_system.reports.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_efs_mount_target" "reports" {
  for_each = { for index, subnet in var.subnet_ids : index => subnet }

  file_system_id  = aws_efs_file_system.reports.id
  subnet_id       = each.value
  security_groups = [var.security_group_ids.reports]
}

# The user of the image.
resource "aws_efs_access_point" "reports" {
  file_system_id = aws_efs_file_system.reports.id

  posix_user {
    uid = 50000
    gid = 0
  }

  root_directory {
    path = "/reports"

    creation_info {
      owner_uid   = 50000
      owner_gid   = 0
      permissions = "0770"
    }
  }

  tags = { Name = "${var.name}-reports" }
}
