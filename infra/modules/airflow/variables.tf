variable "environment" {
  description = "Column of environments.yaml."
  type        = string
}

variable "cluster" {
  description = "The ECS cluster: its ARN and its name."
  type        = object({ arn = string, name = string })
}

variable "image" {
  description = "The image, by digest."
  type        = string
}

variable "region" {
  description = "Region of all that is called."
  type        = string
}

variable "url" {
  description = "Address of Airflow's page, for links."
  type        = string
}

variable "services" {
  description = "By service: CPU units and MiB of a task in a pair that Fargate has, and how many tasks there are."
  type = object({
    api-server    = object({ cpu = number, memory = number, tasks = number })
    scheduler     = object({ cpu = number, memory = number, tasks = number })
    dag-processor = object({ cpu = number, memory = number, tasks = number })
    triggerer     = object({ cpu = number, memory = number, tasks = number })
  })
}

variable "workers" {
  description = "CPU units and MiB of a worker; Airflow tasks that it runs at once; least and most workers; Airflow tasks, queued and running, that scaling keeps for each worker."
  type = object({
    cpu         = number
    memory      = number
    concurrency = number
    min         = number
    max         = number
    target      = number
  })

  validation {
    condition     = var.workers.target <= var.workers.concurrency
    error_message = "The target of the workers (${var.workers.target} Airflow tasks) is above what one runs at once (${var.workers.concurrency}): tasks would wait, and no worker would be added. Nothing was changed. Lower the target."
  }
}

variable "schedule" {
  description = "By name: when (cron or at, in UTC) the least and most workers become others."
  type        = map(object({ when = string, min = number, max = number }))
}

variable "load_slots" {
  description = "Load tasks that may send bulk requests at once, over all workers."
  type        = number
}

variable "entities" {
  description = "By DynamoDB entity: URLs of its queues, and where its exports go (null unless it is read from exports)."
  type = map(object({
    dead_letter_queue_url = string
    parked_queue_url      = string
    export_bucket         = string
  }))
}

variable "connections" {
  description = "Names of the connections that the entity files use."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.connections, ["aws_default", "searchsync_postgres"])) == 0
    error_message = "The entity files name connections that Airflow has no login for here: ${jsonencode(setsubtract(var.connections, ["aws_default", "searchsync_postgres"]))}. Nothing was changed. Use aws_default or searchsync_postgres, or add the connection to modules/airflow."
  }
}

variable "opensearch_host" {
  description = "Host of the domain, without a scheme."
  type        = string
}

variable "source_database" {
  description = "Where the rows that are searched are; locations_reader logs in with a token of IAM."
  type        = object({ host = string, port = number, name = string })
}

variable "airflow_database" {
  description = "Where Airflow keeps its state."
  type        = object({ host = string, port = number, name = string, user = string })
}

variable "broker_host" {
  description = "Host of the cache with Celery's queue; it speaks TLS alone."
  type        = string
}

variable "secrets" {
  description = "By environment variable: ARN of the secret whose text it is, or one key of it, as ECS writes that."
  type        = map(string)
}

variable "role_arns" {
  description = "The role that Airflow has, and the one that starts its tasks."
  type        = object({ task = string, execution = string })
}

variable "log_group" {
  description = "Of the containers and of Airflow's tasks: ARN and name."
  type        = object({ arn = string, name = string })
}

variable "vpc_id" {
  description = "The network in which the API server has a name."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the tasks."
  type        = list(string)
}

variable "reports" {
  description = "Of the file system with the reports: its key, and the subnets and security groups of its mount targets."
  type        = object({ key_arn = string, subnet_ids = list(string), security_group_ids = list(string) })
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "target_group_arn" {
  description = "The load balancer's target group of the API server."
  type        = string
}
