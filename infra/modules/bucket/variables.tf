variable "name" {
  type = string
}

variable "key" {
  description = "The key of the objects; null where the service that writes them takes S3's own alone."
  type        = object({ arn = string })
}

variable "delete_with_objects" {
  description = "Whether Terraform may delete the bucket while objects are in it."
  type        = bool
}

variable "days" {
  description = "Days after which an object is archived, and after which it is deleted; null for never. Days that an earlier version is kept."
  type = object({
    archived = optional(number)
    deleted  = optional(number)
    earlier  = number
  })
}

variable "statements" {
  description = "Further statements of the bucket's policy."
  type        = any
  default     = []
}
