variable "name" {
  description = "What names of resources begin with."
  type        = string
}

variable "region" {
  description = "The region of the user pool and of the record."
  type        = string
}

variable "domain_name" {
  description = "The public name of the search API."
  type        = string
}

variable "vpc_id" {
  description = "The network of the services."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, for the load balancers and the VPC link."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Of the VPC link and the two load balancers."
  type        = object({ api_gateway = string, search_api_balancer = string, airflow_balancer = string })
}

variable "address_header" {
  description = "The header in which the gateway tells the caller's address."
  type        = string
}

variable "throttle" {
  description = "Requests of all callers together."
  type        = object({ requests_per_second = number, burst = number })
}

variable "blocked_countries" {
  description = "Countries, by two letters, whose addresses get 403."
  type        = list(string)
}

variable "token_customisation" {
  description = "The function that adds the tenant to access tokens: its name, zip file, runtime and role."
  type        = object({ name = string, package = string, runtime = string, role_arn = string })
}

variable "log_groups" {
  description = "Name and ARN of the log groups of the gateway, the firewall and the function."
  type = object({
    edge                = object({ name = string, arn = string })
    waf                 = object({ name = string, arn = string })
    token_customisation = object({ name = string, arn = string })
  })
}

variable "log_bucket" {
  description = "Name of the bucket of the load balancers' access logs."
  type        = string
}

variable "deletion_protection" {
  description = "Whether users and load balancers cannot be deleted."
  type        = bool
}
