# Places for secrets. Their values never pass through Terraform, whose state would keep them: the first deployment fills
# them in.

resource "aws_secretsmanager_secret" "this" {
  for_each = var.secrets

  name                    = each.value
  kms_key_id              = var.keys.secrets
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}
