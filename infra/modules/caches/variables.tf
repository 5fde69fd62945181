variable "names" {
  description = "Names of the caches: `broker` has Celery's queue, `cache` the search API's answers and counters."
  type        = map(string)
}

variable "node_type" {
  type = string
}

variable "nodes" {
  description = "Of each cache; the second one takes over."
  type        = number
}

variable "key_arn" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "security_group_ids" {
  description = "By purpose."
  type        = map(string)
}
