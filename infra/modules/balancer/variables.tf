variable "name" {
  description = "Of the load balancer and its target group."
  type        = string
}

variable "vpc_id" {
  description = "The network that the targets are in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in two zones at least."
  type        = list(string)
}

variable "security_group_id" {
  description = "Says who may connect."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate of the name that it is called by."
  type        = string
}

variable "health_path" {
  description = "The path that a target answers with 200 when it can serve. It is asked every 30 seconds."
  type        = string
}

variable "drain_seconds" {
  description = "Seconds that requests under way get when a target goes."
  type        = number
}

variable "log_bucket" {
  description = "Name of the bucket of access logs."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the load balancer cannot be deleted."
  type        = bool
}
