variable "cluster" {
  description = "The ECS cluster: its ARN and its name."
  type        = object({ arn = string, name = string })
}

variable "image" {
  description = "The image, by digest."
  type        = string
}

variable "region" {
  description = "Region of the logs and of the domain."
  type        = string
}

variable "size" {
  description = "Of one task: CPU units and MiB of memory, in a pair that Fargate has."
  type        = object({ cpu = number, memory = number })
}

variable "scaling" {
  description = "Least and most tasks, and the targets: percent of CPU and memory, requests of a task in a minute."
  type = object({
    min                 = number
    max                 = number
    cpu_percent         = number
    memory_percent      = number
    requests_per_minute = number
  })
}

variable "schedule" {
  description = "By name: when (cron or at, in UTC) the least and most tasks become others."
  type        = map(object({ when = string, min = number, max = number }))
}

variable "settings" {
  description = "Environment variables that are no secrets, beside those that are the same everywhere."
  type        = map(string)
}

variable "secrets" {
  description = "By environment variable: ARN of the secret whose whole text it is."
  type        = map(string)
}

variable "role_arns" {
  description = "The role that the service has, and the one that starts it."
  type        = object({ task = string, execution = string })
}

variable "log_group" {
  description = "Name of the log group."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the tasks."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "target_group" {
  description = "The load balancer's target group: its ARN, and its label for scaling on requests."
  type        = object({ arn = string, label = string })
}

variable "canary_target_group_arn" {
  description = "ARN of the target group of new tasks, during a canary."
  type        = string
}
