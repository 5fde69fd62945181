# What the variables of the root refuse. Nothing is asked of AWS.

mock_provider "aws" {}

mock_provider "aws" {
  alias = "replica"
}

variables {
  environment       = "dev"
  region            = "eu-west-1"
  account_id        = "123456789012"
  airflow_image     = "example.org/airflow@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  search_api_image  = "example.org/search-api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  function_packages = { members = "tests/variables.tftest.hcl", token-customisation = "tests/variables.tftest.hcl" } # any file
  domain_name       = "search.example.org"
}

run "an_environment_that_does_not_exist" {
  command = plan
  variables {
    environment = "prod"
  }
  expect_failures = [var.environment]
}

run "a_region_that_is_none" {
  command = plan
  variables {
    region = "eu-west"
  }
  expect_failures = [var.region]
}

run "a_region_of_another_partition" {
  command = plan
  variables {
    region = "us-gov-west-1"
  }
  expect_failures = [var.region]
}

run "copies_in_the_region_of_the_originals" {
  command = plan
  variables {
    environment = "production"
    region      = "eu-central-1"
  }
  expect_failures = [var.region]
}

run "an_account_id_with_a_digit_too_few" {
  command = plan
  variables {
    account_id = "12345678901"
  }
  expect_failures = [var.account_id]
}

run "an_image_by_tag" {
  command = plan
  variables {
    airflow_image = "example.org/airflow:latest"
  }
  expect_failures = [var.airflow_image]
}

run "an_image_by_a_short_digest" {
  command = plan
  variables {
    search_api_image = "example.org/search-api@sha256:0123"
  }
  expect_failures = [var.search_api_image]
}

run "no_package_of_a_function" {
  command = plan
  variables {
    function_packages = {}
  }
  expect_failures = [var.function_packages]
}

run "a_package_of_no_function" {
  command = plan
  variables {
    function_packages = { members = "tests/variables.tftest.hcl", token-customisation = "tests/variables.tftest.hcl", orders = "tests/variables.tftest.hcl" }
  }
  expect_failures = [var.function_packages]
}

run "a_package_that_is_not_there" {
  command = plan
  variables {
    function_packages = { members = "no/such/file.zip", token-customisation = "no/such/file.zip" }
  }
  expect_failures = [var.function_packages]
}

run "an_address_in_place_of_a_name" {
  command = plan
  variables {
    domain_name = "https://search.example.org"
  }
  expect_failures = [var.domain_name]
}

run "production_on_the_emulator" {
  command = plan
  variables {
    environment = "production"
    emulated    = true
  }
  expect_failures = [var.emulated]
}
