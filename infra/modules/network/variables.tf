variable "region" {
  type = string
}

variable "name" {
  type = string
}

variable "cidr" {
  description = "Of the VPC: a /16."
  type        = string
}

variable "zones" {
  description = "Letters of the availability zones."
  type        = list(string)
}

variable "nat_gateways" {
  description = "How many there are: one, or one for each zone."
  type        = number
}

variable "interface_endpoints" {
  description = "Whether calls to AWS stay in its network."
  type        = bool
}

variable "operator_cidrs" {
  description = "Networks that may open Airflow's page."
  type        = list(string)
}

variable "flow_logs" {
  description = "Where accepted and refused connections are logged, and the role that writes there."
  type = object({
    log_group_arn = string
    role_arn      = string
  })
}
