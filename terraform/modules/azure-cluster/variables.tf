variable "name" {
  description = "Name of the cluster; part of every resource's name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name: 3 to 20 lower-case letters, digits and hyphens, such as \"corp-mail\"."
  }
}

variable "resource_group_name" {
  description = "Resource group everything goes into."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region with three availability zones, such as westeurope."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]+$", var.location))
    error_message = "location: the region's short name, such as \"westeurope\"."
  }
}

variable "site" {
  description = "Name of the site in relay.yaml; the region when absent. A region is one site, however many zones it has."
  type        = string
  default     = null
}

variable "nodes" {
  description = "Hosts by name: zone, address in that zone's subnet, and whether each is a member of etcd and a relay."
  type = map(object({
    zone    = string
    address = string
    etcd    = optional(bool, true)
    relay   = optional(bool, true)
  }))
  nullable = false

  validation {
    condition     = alltrue([for name, _ in var.nodes : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "nodes: a node's name is its host name: lower-case letters, digits and hyphens, such as \"relay-a\"."
  }

  validation {
    condition     = length([for node in var.nodes : node if node.etcd]) >= 3 && length([for node in var.nodes : node if node.etcd]) % 2 == 1
    error_message = "nodes: etcd needs an odd number of members, three or more. Two lose everything with either of them."
  }

  validation {
    condition     = length([for node in var.nodes : node if node.relay]) >= 2
    error_message = "nodes: a cluster has two relays or more."
  }

  validation {
    condition     = alltrue([for node in var.nodes : contains(["1", "2", "3"], node.zone)])
    error_message = "nodes: zone is \"1\", \"2\" or \"3\"."
  }

  validation {
    condition = alltrue([
      for zone in ["1", "2", "3"] :
      length([for node in var.nodes : node if node.etcd && node.zone == zone]) * 2 < length([for node in var.nodes : node if node.etcd])
    ])
    error_message = "nodes: one zone has most members of etcd, so its loss stops the cluster. Spread them over three zones."
  }

  validation {
    condition     = length(distinct([for node in var.nodes : node.zone if node.relay])) >= 2
    error_message = "nodes: all relays stand in one zone, so its loss stops mail. Spread them over three zones."
  }

  validation {
    condition     = alltrue([for node in var.nodes : !strcontains(node.address, ":") && can(cidrhost("${node.address}/32", 0))])
    error_message = "nodes: address is a plain IPv4 address such as \"10.20.0.4\". IPv6 is not made: Exchange's connectors know IPv4 alone."
  }

  validation {
    condition     = length(distinct(values(var.nodes)[*].address)) == length(var.nodes)
    error_message = "nodes: two nodes have the same address."
  }

  validation {
    condition = alltrue([
      for node in var.nodes : try(
        cidrhost("${node.address}/${split("/", var.network.zones[node.zone])[1]}", 0) == cidrhost(var.network.zones[node.zone], 0), true
      )
    ])
    error_message = "nodes: an address lies outside the subnet of its zone (network.zones)."
  }

  validation {
    condition = alltrue([
      for node in var.nodes : try(!contains([for n in [0, 1, 2, 3, -1] : cidrhost(var.network.zones[node.zone], n)], node.address), true)
    ])
    error_message = "nodes: the first four addresses of a subnet and its last belong to Azure."
  }
}

variable "key_vault" {
  description = "Vault for what the hosts read when they are set up (listener and connector keys). It is empty: nothing secret passes through Terraform. officers: object ids of those who put secrets into it. private_dns_zone_id: your zone privatelink.vaultcore.azure.net; without one, make the name resolve to key_vault_address yourself."
  type = object({
    name                = string
    officers            = optional(set(string), [])
    private_dns_zone_id = optional(string)
  })
  nullable = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$", var.key_vault.name)) && !strcontains(var.key_vault.name, "--")
    error_message = "key_vault: name has 3 to 24 letters, digits and hyphens, begins with a letter, and is unique in all of Azure."
  }

  validation {
    condition     = var.key_vault.private_dns_zone_id == null ? true : can(regex("/privateDnsZones/privatelink\\.vaultcore\\.[a-z.]+$", var.key_vault.private_dns_zone_id))
    error_message = "key_vault: private_dns_zone_id is the id of the zone privatelink.vaultcore.azure.net (or your cloud's)."
  }
}

variable "alerts" {
  description = "Who is told, by Azure itself and not through the relay: mail addresses in another mail system, and web hooks (https)."
  type = object({
    emails   = optional(map(string), {})
    webhooks = optional(map(string), {})
  })
  nullable = false

  validation {
    condition     = length(var.alerts.emails) + length(var.alerts.webhooks) > 0
    error_message = "alerts: name somebody; an alarm nobody hears is none."
  }

  validation {
    condition     = alltrue([for url in var.alerts.webhooks : startswith(url, "https://")]) && alltrue([for to in var.alerts.emails : can(regex("^[^\\s@]+@[^\\s@]+$", to))])
    error_message = "alerts: emails are addresses, webhooks begin with https://."
  }
}

variable "tags" {
  description = "Tags on every resource that takes them."
  type        = map(string)
  default     = {}
  nullable    = false
}
