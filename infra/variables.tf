variable "environment" {
  description = "The column of environments.yaml that holds: dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "There is no environment \"${var.environment}\". Nothing was changed. Say dev, staging or production."
  }
}

variable "region" {
  description = "The region that everything is in, but for copies of buckets."
  type        = string
  nullable    = false

  validation {
    condition = can(regex(
      "^(af|ap|ca|eu|il|me|mx|sa|us)-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[1-9]$", var.region
    ))
    error_message = "\"${var.region}\" is no region of AWS' standard partition. Nothing was changed. Say one such as eu-west-1."
  }

  validation {
    condition     = var.region != local.environment.replica_region
    error_message = "The copies of buckets go to ${var.region} too (replica_region in environments.yaml), and would be lost with it. Nothing was changed. Choose another region for one of them."
  }
}

variable "account_id" {
  description = "The account of the environment. Terraform refuses credentials of any other one."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "\"${var.account_id}\" is no account id. Nothing was changed. Say the 12 digits that `aws sts get-caller-identity` shows."
  }
}

variable "airflow_image" {
  description = "The image of Airflow's services, by digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@ ]+@sha256:[0-9a-f]{64}$", var.airflow_image))
    error_message = "airflow_image is not an image by digest: a tag can name another image tomorrow. Nothing was changed. Say repository@sha256:<64 hexadecimal digits>."
  }
}

variable "search_api_image" {
  description = "The image of the search API, by digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@ ]+@sha256:[0-9a-f]{64}$", var.search_api_image))
    error_message = "search_api_image is not an image by digest: a tag can name another image tomorrow. Nothing was changed. Say repository@sha256:<64 hexadecimal digits>."
  }
}

variable "function_packages" {
  description = "The zip file of each function, as `./dev package NAME` makes it: one for each DynamoDB entity, and token-customisation."
  type        = map(string)
  nullable    = false

  validation {
    condition     = toset(keys(var.function_packages)) == toset(concat(keys(local.dynamodb), ["token-customisation"]))
    error_message = "function_packages names ${jsonencode(keys(var.function_packages))}, and there are these functions: ${jsonencode(concat(keys(local.dynamodb), ["token-customisation"]))}. Nothing was changed. Say one package for each."
  }

  validation {
    condition     = alltrue([for path in values(var.function_packages) : fileexists(path)])
    error_message = "There is no file ${join(", ", [for path in values(var.function_packages) : path if !fileexists(path)])}. Nothing was changed. Make it with `./dev package NAME`."
  }
}

variable "domain_name" {
  description = "The public name of the search API. It gets a Route 53 zone, which the zone above has to delegate to."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.domain_name))
    error_message = "\"${var.domain_name}\" is no domain name. Nothing was changed. Say one such as search.example.org."
  }
}

variable "emulated" {
  description = "Whether AWS is the emulator of a development machine. What it cannot take is left out: emulator.yaml."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.emulated && var.environment == "production")
    error_message = "Production is not for the emulator, which leaves parts of it out. Nothing was changed. Leave `emulated` away, or say environment dev."
  }
}
