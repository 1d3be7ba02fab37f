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

variable "network" {
  description = "Address space, a subnet for each zone, one for the load balancer and one for private endpoints; all IPv4. dns_servers: yours, or none for Azure's."
  type = object({
    address_space     = string
    zones             = map(string)
    load_balancer     = string
    private_endpoints = string
    dns_servers       = optional(list(string), [])
  })
  nullable = false

  validation {
    condition = alltrue([
      for cidr in concat([var.network.address_space, var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)) :
      !strcontains(cidr, ":") && can(cidrsubnet(cidr, 0, 0))
    ])
    error_message = "network: every range is IPv4 with a prefix length, such as \"10.20.0.0/24\"; IPv6 is not made."
  }

  validation {
    condition = alltrue([
      for cidr in concat([var.network.address_space, var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)) :
      try(cidrsubnet(cidr, 0, 0) == cidr, true)
    ])
    error_message = "network: a range has bits of a host set, such as 10.20.0.5/24; the network itself is 10.20.0.0/24."
  }

  validation {
    condition     = toset(keys(var.network.zones)) == toset(["1", "2", "3"])
    error_message = "network: zones has the three keys \"1\", \"2\" and \"3\"."
  }

  validation {
    condition = alltrue([
      for cidr in concat([var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)) :
      try(cidrhost("${split("/", cidr)[0]}/${split("/", var.network.address_space)[1]}", 0) == cidrhost(var.network.address_space, 0), true)
    ])
    error_message = "network: a subnet lies outside address_space."
  }

  validation {
    condition = alltrue([
      for pair in setproduct(
        concat([var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)),
        concat([var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)),
      ) :
      pair[0] == pair[1] || try(
        cidrhost("${split("/", pair[0])[0]}/${min([for cidr in pair : tonumber(split("/", cidr)[1])]...)}", 0) !=
        cidrhost("${split("/", pair[1])[0]}/${min([for cidr in pair : tonumber(split("/", cidr)[1])]...)}", 0), true
      )
    ]) && length(distinct(concat([var.network.load_balancer, var.network.private_endpoints], values(var.network.zones)))) == length(var.network.zones) + 2
    error_message = "network: two subnets overlap."
  }
}

variable "virtual_address" {
  description = "Address clients use, in the load balancer's subnet; name: as in virtual_addresses of relay.yaml, port: where the relay answers the probe."
  type = object({
    address    = string
    name       = optional(string, "smtp")
    probe_port = optional(number, 8026)
    prefer     = optional(string)
  })
  nullable = false

  validation {
    condition     = !strcontains(var.virtual_address.address, ":") && can(cidrhost("${var.virtual_address.address}/32", 0))
    error_message = "virtual_address: address is a plain IPv4 address such as \"10.20.0.100\"."
  }

  validation {
    condition = try(
      cidrhost("${var.virtual_address.address}/${split("/", var.network.load_balancer)[1]}", 0) == cidrhost(var.network.load_balancer, 0), true
    )
    error_message = "virtual_address: the address lies outside the load balancer's subnet (network.load_balancer)."
  }

  validation {
    condition     = try(!contains([for n in [0, 1, 2, 3, -1] : cidrhost(var.network.load_balancer, n)], var.virtual_address.address), true)
    error_message = "virtual_address: the first four addresses of a subnet and its last belong to Azure."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", var.virtual_address.name))
    error_message = "virtual_address: name is made of letters, digits, dots, hyphens and underscores."
  }

  validation {
    condition     = var.virtual_address.probe_port >= 1024 && var.virtual_address.probe_port <= 65535 && !contains(values(var.listeners), var.virtual_address.probe_port)
    error_message = "virtual_address: probe_port is between 1024 and 65535 and no listener's port."
  }

  validation {
    condition     = var.virtual_address.prefer == null ? true : try(var.nodes[var.virtual_address.prefer].relay, false)
    error_message = "virtual_address: prefer names a node that is a relay."
  }
}

variable "listeners" {
  description = "TCP ports clients may reach, by listener name as in relay.yaml."
  type        = map(number)
  default     = { smtp = 25, submission = 587 }
  nullable    = false

  validation {
    condition     = length(var.listeners) > 0 && alltrue([for port in var.listeners : port >= 1 && port <= 65535 && floor(port) == port])
    error_message = "listeners: one port or more, each between 1 and 65535."
  }
}

variable "client_networks" {
  description = "Networks whose applications and printers may connect to the listeners."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.client_networks) > 0 && alltrue([for cidr in var.client_networks : !strcontains(cidr, ":") && can(cidrsubnet(cidr, 0, 0))])
    error_message = "client_networks: one or more IPv4 ranges such as \"10.0.0.0/8\"."
  }

  validation {
    condition     = alltrue([for cidr in var.client_networks : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "client_networks: a range wider than /8 is given; name the networks that are yours."
  }
}

variable "admin_networks" {
  description = "Networks of those who operate the cluster: SSH and the admin port."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.admin_networks) > 0 && alltrue([for cidr in var.admin_networks : !strcontains(cidr, ":") && can(cidrsubnet(cidr, 0, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "admin_networks: one or more IPv4 ranges, none wider than /16."
  }
}

variable "admin_port" {
  description = "admin.port of relay.yaml."
  type        = number
  default     = 8443
  nullable    = false
}

variable "monitoring_networks" {
  description = "Networks that collect metrics; none: nobody does from outside."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.monitoring_networks : !strcontains(cidr, ":") && can(cidrsubnet(cidr, 0, 0))])
    error_message = "monitoring_networks: IPv4 ranges such as \"10.9.0.0/24\"."
  }
}

variable "metrics_port" {
  description = "telemetry.prometheus of relay.yaml."
  type        = number
  default     = 9464
  nullable    = false
}

variable "outbound_ports" {
  description = "TCP ports the nodes may reach in the Internet: 25 connector, 587 submission, 443 sign-in and Graph, 80 packages of the distribution."
  type        = set(number)
  default     = [25, 80, 443, 587]
  nullable    = false
}

variable "vm_size" {
  description = "Size of a host; two cores and 8 GiB carry far more than Microsoft takes."
  type        = string
  default     = "Standard_D2s_v5"
  nullable    = false

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+[a-z]*s[a-z]*_v[2-5]$", var.vm_size))
    error_message = "vm_size: a size with premium disks (an s after the cores) of generation 2 to 5, such as Standard_D2s_v5. Later ones name their disks differently."
  }
}

variable "image" {
  description = "Image of the hosts; it needs cloud-init and systemd 249 or later."
  type = object({
    publisher = string
    offer     = string
    sku       = string
    version   = optional(string, "latest")
  })
  default  = { publisher = "Debian", offer = "debian-12", sku = "12-gen2" }
  nullable = false
}

variable "disks" {
  description = "Sizes in GiB. Azure's premium disks are as fast as they are large: 128 GiB gives 500 IOPS, and every 250 waits for the disk."
  type = object({
    spool_gib = optional(number, 128)
    etcd_gib  = optional(number, 32)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.disks.spool_gib >= 32 && var.disks.etcd_gib >= 16
    error_message = "disks: spool_gib is 32 or more, etcd_gib 16 or more."
  }
}

variable "disk_encryption_set_id" {
  description = "Encrypts disks with a key of yours instead of Microsoft's."
  type        = string
  default     = null
}

variable "encryption_at_host" {
  description = "Encrypts caches and temporary disks too. The subscription needs the feature Microsoft.Compute/EncryptionAtHost once."
  type        = bool
  default     = true
  nullable    = false
}

variable "ssh_user" {
  description = "User Ansible signs in as."
  type        = string
  default     = "relayadmin"
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Keys that may sign in as this user; public keys only."
  type        = list(string)
  nullable    = false
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
