# Who may ask: a user pool. What its tokens mean is said in docs/search-api.md (Who may see what).

resource "aws_cognito_user_pool" "this" {
  name                = var.name
  user_pool_tier      = "ESSENTIALS" # the least one in which a trigger can add a claim to an access token
  deletion_protection = var.deletion_protection ? "ACTIVE" : "INACTIVE"
  mfa_configuration   = "OPTIONAL"

  software_token_mfa_configuration {
    enabled = true
  }

  # Administrators make users, with their tenant; nobody can sign up into the tenant of others.
  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "admin_only"
      priority = 1
    }
  }

  # It is set when the user is made, and never changes. No client below may write it.
  schema {
    name                     = "tenant_id"
    attribute_data_type      = "String"
    mutable                  = false
    required                 = false
    developer_only_attribute = false

    string_attribute_constraints {
      min_length = 1
      max_length = 64
    }
  }

  password_policy {
    minimum_length                   = 14
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = true
    require_uppercase                = true
    temporary_password_validity_days = 3
  }

  lambda_config {
    pre_token_generation_config {
      lambda_arn     = aws_lambda_function.token_customisation.arn
      lambda_version = "V2_0"
    }
  }
}

# A role is a group of the same name: services/search_api/auth/roles.py.
resource "aws_cognito_user_group" "role" {
  for_each = toset(["admin", "tenant_admin", "tenant_user", "service"])

  name         = each.key
  user_pool_id = aws_cognito_user_pool.this.id
}

locals {
  clients = {
    people   = { flows = ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"] }
    programs = { flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"] } # Airflow, which warms the cache
  }
}

resource "aws_cognito_user_pool_client" "this" {
  for_each = local.clients

  name                          = "${var.name}-${each.key}"
  user_pool_id                  = aws_cognito_user_pool.this.id
  explicit_auth_flows           = each.value.flows
  generate_secret               = false
  prevent_user_existence_errors = "ENABLED"
  enable_token_revocation       = true

  read_attributes  = ["custom:tenant_id", "email"]
  write_attributes = ["email"]

  # Nobody asks the pool again before a token expires.
  id_token_validity      = 60
  access_token_validity  = 60
  refresh_token_validity = 12

  token_validity_units {
    id_token      = "minutes"
    access_token  = "minutes"
    refresh_token = "hours"
  }
}

resource "aws_lambda_function" "token_customisation" {
  function_name    = var.token_customisation.name
  description      = "Adds the tenant to access tokens"
  role             = var.token_customisation.role_arn
  filename         = var.token_customisation.package
  source_code_hash = filebase64sha256(var.token_customisation.package)
  runtime          = var.token_customisation.runtime
  handler          = "handler.handler"
  architectures    = ["arm64"]
  memory_size      = 128
  timeout          = 5 # Cognito waits no longer

  logging_config {
    log_format = "JSON"
    log_group  = var.log_groups.token_customisation.name
  }
}

resource "aws_lambda_permission" "user_pool" {
  statement_id  = "UserPool"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.token_customisation.function_name
  principal     = "cognito-idp.amazonaws.com"
  source_arn    = aws_cognito_user_pool.this.arn
}
