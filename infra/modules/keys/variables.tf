variable "aliases" {
  description = "The alias of each key, by purpose."
  type        = map(string)
}

variable "account_arn" {
  description = "The account, whose roles use the keys as their own policies say."
  type        = string
}

variable "service_access" {
  description = "Services of AWS that use a key in no role's name, by purpose: who, and which requests the key is for."
  type = map(object({
    principal = string
    condition = map(map(string))
  }))
}
