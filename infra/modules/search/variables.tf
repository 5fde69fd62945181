variable "name" {
  type = string
}

variable "arn" {
  description = "The ARN that the domain will have, for its policy and that of its logs."
  type        = string
}

variable "account" {
  description = "The account: its id, and the ARN that stands for all of its roles."
  type        = object({ id = string, arn = string })
}

variable "nodes" {
  description = "Data nodes: their type, how many there are in how many zones, and each one's disk."
  type = object({
    type                 = string
    count                = number
    zones                = number
    gigabytes            = number
    megabytes_per_second = number
  })

  validation {
    condition     = var.nodes.count % var.nodes.zones == 0
    error_message = "${var.nodes.count} data nodes of OpenSearch cannot be shared out evenly among ${var.nodes.zones} zones. Nothing was changed. Change search_nodes in environments.yaml."
  }
}

variable "managers" {
  description = "Dedicated managers of the cluster: their type; null for none."
  type        = string
}

variable "standby" {
  description = "Whether one of three zones takes no searches until another one fails."
  type        = bool

  validation {
    condition     = !var.standby || var.nodes.zones == 3 && var.managers != null
    error_message = "A zone in standby needs three zones and dedicated managers. Nothing was changed. Change search_standby, search_nodes or search_managers in environments.yaml."
  }
}

variable "auto_tune" {
  description = "Whether the domain tunes memory and queues by itself; small machines cannot."
  type        = bool
}

variable "key_arn" {
  type = string
}

variable "administrator_arn" {
  description = "The role that maps all others to their rights in OpenSearch."
  type        = string
}

variable "log_group_arns" {
  description = "Where each kind of log goes."
  type = object({
    application  = string
    audit        = string
    slow_queries = string
    slow_writes  = string
  })
}

variable "subnet_ids" {
  description = "Isolated ones, one for each zone that the domain is in."
  type        = list(string)
}

variable "security_group_id" {
  type = string
}

variable "emulated" {
  description = "Whether the domain is the emulator's, which never says that it is ready."
  type        = bool
}
