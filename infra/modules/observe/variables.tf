variable "table" {
  description = "Content of include/policies/alarms.yaml."
  type        = any
}

variable "metrics" {
  description = "Rows of include/policies/metrics.yaml that CloudWatch has, by name."
  type        = any
}

variable "environment" {
  description = "The environment; the table says for each alarm in which ones it is."
  type        = string
}

variable "sizes" {
  description = "Gigabytes of disks that thresholds follow from: of a node of the domain, of a database."
  type        = object({ search_gigabytes = number, database_gigabytes = number })
}

variable "freshness" {
  description = "By entity, the numbers of freshness.yaml, or those that the entity's file has in their place."
  type        = map(map(number))
}

variable "words" {
  description = "What stands in dimensions for {account}, {domain} and so on."
  type        = map(string)
}

variable "each" {
  description = "What there is one alarm each for: by kind and name, the words that are its own."
  type        = map(map(map(string)))
}

variable "name" {
  description = "What names of alarms, topics and dashboards begin with."
  type        = string
}

variable "region" {
  description = "The region that is watched."
  type        = string
}

variable "account_id" {
  description = "The account that is watched."
  type        = string
}

variable "log_groups" {
  description = "Name of each log group, by purpose."
  type        = map(string)
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "key_arns" {
  description = "The keys that logs and topics are encrypted with."
  type        = object({ logs = string, alarms = string })
}

variable "mail" {
  description = "Addresses that are told by mail. Each has to confirm it once."
  type        = list(string)
}

variable "slack" {
  description = "Ids of the workspace and channel that are told, and the role of AWS' chat service; null for none. They are no secrets."
  type        = object({ team_id = string, channel_id = string, role_arn = string })
}

variable "pagerduty_secret" {
  description = "Name of the secret whose text is the HTTPS address of PagerDuty's integration; null for none."
  type        = string
}
