variable "subscription_id" {
  description = "Subscription everything is made in. Mail by port 25 (connector) needs one under an Enterprise Agreement or MCA-E."
  type        = string
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Public keys of those who operate the hosts."
  type        = list(string)
  nullable    = false
}

variable "key_vault_name" {
  description = "Name of the vault, unique in all of Azure."
  type        = string
  nullable    = false
}

variable "key_vault_dns_zone_id" {
  description = "Your private DNS zone privatelink.vaultcore.azure.net, usually in the hub; none: see the output key_vault_address of the module."
  type        = string
  default     = null
}

variable "alert_webhook" {
  description = "Where alarms go. The address alone lets anybody ring it, so it is not shown."
  type        = string
  nullable    = false
  sensitive   = true
}
