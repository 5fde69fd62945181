# Lists of rejected documents and the evidence of quality runs: workers write them, the API server shows them.

resource "aws_efs_file_system" "reports" {
  encrypted  = true
  kms_key_id = var.reports.key_arn

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  tags = { Name = "searchsync-reports" }
}

resource "aws_efs_mount_target" "reports" {
  for_each = { for position, subnet in var.reports.subnet_ids : tostring(position) => subnet } # ids are known too late

  file_system_id  = aws_efs_file_system.reports.id
  subnet_id       = each.value
  security_groups = var.reports.security_group_ids
}

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
      permissions = "0750"
    }
  }

  tags = { Name = "searchsync-reports" }
}
