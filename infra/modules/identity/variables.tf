variable "place" {
  description = "Where it is: partition, region, account, replica_region, and the repository and environment that may deploy."
  type = object({
    partition      = string
    region         = string
    account        = string
    replica_region = string
    repository     = string
    environment    = string
  })
}

variable "entities" {
  description = "The entities of DynamoDB, by name."
  type = map(object({
    table       = string
    from_export = bool
    heartbeat   = string # its partition key; null where there is none
  }))
}

variable "roles_file" {
  description = "include/policies/roles.yaml"
  type        = string
}
