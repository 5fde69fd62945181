variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "deletion_protection" {
  description = "Whether somebody has to switch it off before data can be deleted."
  type        = bool
}

variable "backup_days" {
  description = "Days back to any second of which tables and databases can be restored."
  type        = number
}

variable "keys" {
  description = "ARNs of the keys, by purpose."
  type        = map(string)
}

variable "role_arns" {
  description = "Of the roles that services take: replication of buckets, and figures of the databases' machines."
  type = object({
    replication    = string
    rds_monitoring = string
  })
}

variable "tables" {
  description = "Tables of DynamoDB, by name: the parts of the key with their types, and the attribute of the time to live."
  type = map(object({
    key       = list(string)
    key_types = list(string)
    expires   = optional(string)
  }))
}

variable "databases" {
  description = "Names of the PostgreSQL instances: `source` has the rows that are searched, `airflow` Airflow's state."
  type        = map(string)
}

variable "database" {
  description = "What the instances are like; seconds between figures of the machine, 0 for none."
  type = object({
    class              = string
    gigabytes          = number
    standby            = bool
    monitoring_seconds = number
  })
}

variable "database_log_groups" {
  description = "Log groups of the instances. They have to be there first: RDS makes what is missing, and keeps logs for ever."
  type        = list(string)
}

variable "buckets" {
  description = "Names of the buckets, by purpose."
  type        = map(string)
}

variable "copy_objects" {
  description = "Whether there are buckets with copies, in the region of the provider `replica`."
  type        = bool
}

variable "bucket_copies" {
  description = "Names of the buckets with copies, by the purpose of what they copy."
  type        = map(string)
}

variable "secrets" {
  description = "Names of the secrets, by purpose."
  type        = map(string)
}

variable "subnet_ids" {
  description = "Isolated ones, in two zones at least."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Of the databases: `source_database`, `airflow_database`."
  type        = map(string)
}
