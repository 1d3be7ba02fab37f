variable "cluster_name" {
  description = "Name of the cluster, the same as cluster.name in relay.yaml."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}$", var.cluster_name))
    error_message = "cluster_name: lower-case letters, digits and hyphens, such as \"corp-mail\"."
  }
}

variable "nodes" {
  description = "Every host by its name, in one map for each call of a cluster module: address the others reach it at, site, and whether it is a member of etcd and a relay."
  type = list(map(object({
    address = string
    site    = string
    etcd    = optional(bool, true)
    relay   = optional(bool, true)
  })))
  nullable = false

  validation {
    condition     = length(merge(var.nodes...)) == length(flatten([for one in var.nodes : keys(one)]))
    error_message = "nodes: two sites have a node of the same name; a name is a node's identity in the cluster."
  }

  validation {
    condition     = alltrue([for name, _ in merge(var.nodes...) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "nodes: a node's name is its host name: lower-case letters, digits and hyphens, such as \"relay-a\"."
  }

  validation {
    condition = alltrue([
      for node in merge(var.nodes...) : can(cidrhost("${node.address}/${strcontains(node.address, ":") ? 128 : 32}", 0))
    ])
    error_message = "nodes: address is a plain IPv4 or IPv6 address such as \"10.1.0.11\" or \"fd00::11\", without a prefix length."
  }

  validation {
    condition     = length(distinct(values(merge(var.nodes...))[*].address)) == length(merge(var.nodes...))
    error_message = "nodes: two nodes have the same address."
  }

  validation {
    condition     = alltrue([for node in merge(var.nodes...) : node.etcd || node.relay])
    error_message = "nodes: a node is a member of etcd, a relay, or both; one of them is neither."
  }

  validation {
    condition = (
      length([for node in merge(var.nodes...) : node if node.etcd]) >= 3 && length([for node in merge(var.nodes...) : node if node.etcd]) % 2 == 1
    )
    error_message = "nodes: etcd needs an odd number of members, three or more. Two lose everything with either of them: add a witness (relay = false)."
  }

  validation {
    condition     = length([for node in merge(var.nodes...) : node if node.relay]) >= 2
    error_message = "nodes: a cluster has two relays or more."
  }

  validation {
    condition = length(distinct(values(merge(var.nodes...))[*].site)) == 1 || alltrue([
      for site in distinct(values(merge(var.nodes...))[*].site) :
      length([for node in merge(var.nodes...) : node if node.etcd && node.site == site]) * 2 < length([for node in merge(var.nodes...) : node if node.etcd])
    ])
    error_message = "nodes: one site has most members of etcd, so its loss stops the other sites too. Spread them, with a witness at a third site."
  }
}

variable "virtual_addresses" {
  description = "Addresses clients use, by name as in virtual_addresses of relay.yaml, in one map for each call of a cluster module. probe_port: where driver probe answers the load balancer."
  type = list(map(object({
    address    = string
    site       = string
    driver     = string
    prefer     = optional(string)
    probe_port = optional(number)
  })))
  nullable = false

  validation {
    condition = alltrue([
      for one in merge(var.virtual_addresses...) : can(cidrhost("${one.address}/${strcontains(one.address, ":") ? 128 : 32}", 0))
    ])
    error_message = "virtual_addresses: address is a plain IPv4 or IPv6 address such as \"10.1.0.10\"; it becomes a /32 or /128 by itself."
  }

  validation {
    condition     = length(distinct([for one in merge(var.virtual_addresses...) : one.address])) == length(flatten([for one in var.virtual_addresses : keys(one)]))
    error_message = "virtual_addresses: an address or a name is given twice."
  }

  validation {
    condition     = alltrue([for one in merge(var.virtual_addresses...) : contains(["netlink", "probe", "hook"], one.driver)])
    error_message = "virtual_addresses: driver is netlink, probe or hook."
  }

  validation {
    condition     = alltrue([for one in merge(var.virtual_addresses...) : (one.driver == "probe") == (one.probe_port != null)])
    error_message = "virtual_addresses: driver probe has a probe_port, the others have none."
  }

  validation {
    condition     = alltrue([for one in merge(var.virtual_addresses...) : !contains(values(merge(var.nodes...))[*].address, one.address)])
    error_message = "virtual_addresses: an address belongs to a node already."
  }

  validation {
    condition = alltrue([
      for one in merge(var.virtual_addresses...) : contains([for node in merge(var.nodes...) : node.site if node.relay], one.site)
    ])
    error_message = "virtual_addresses: no relay stands at the site of an address, so nobody could hold it."
  }

  validation {
    condition = alltrue([
      for one in merge(var.virtual_addresses...) :
      one.prefer == null ? true : try(merge(var.nodes...)[one.prefer].relay && merge(var.nodes...)[one.prefer].site == one.site, false)
    ])
    error_message = "virtual_addresses: prefer names a relay at the address's own site."
  }
}

variable "ssh_user" {
  description = "User Ansible signs in as."
  type        = string
  default     = "relayadmin"
  nullable    = false
}
