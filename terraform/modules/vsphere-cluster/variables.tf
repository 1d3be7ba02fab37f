variable "name" {
  description = "Name of the cluster; part of every machine's name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,40}$", var.name))
    error_message = "name: lower-case letters, digits and hyphens, such as \"corp-mail\"."
  }
}

variable "site" {
  description = "Name of the data centre in relay.yaml, such as dc1."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", var.site))
    error_message = "site: letters, digits, dots, hyphens and underscores, such as \"dc1\"."
  }
}

variable "nodes" {
  description = "Hosts by name: address, datastore (best: one each, on different storage), and whether each is a member of etcd and a relay."
  type = map(object({
    address   = string
    datastore = string
    etcd      = optional(bool, true)
    relay     = optional(bool, true)
  }))
  nullable = false

  validation {
    condition     = length(var.nodes) > 0 && alltrue([for name, _ in var.nodes : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "nodes: a node's name is its host name: lower-case letters, digits and hyphens, such as \"relay-a\"."
  }

  validation {
    condition = var.part_of_larger_cluster || (
      length([for node in var.nodes : node if node.etcd]) >= 3 && length([for node in var.nodes : node if node.etcd]) % 2 == 1
    )
    error_message = "nodes: etcd needs an odd number of members, three or more. Two lose everything with either of them. Where other sites have the rest, set part_of_larger_cluster."
  }

  validation {
    condition     = var.part_of_larger_cluster || length([for node in var.nodes : node if node.relay]) >= 2
    error_message = "nodes: a cluster has two relays or more."
  }

  validation {
    condition     = alltrue([for node in var.nodes : node.etcd || node.relay])
    error_message = "nodes: a node is a member of etcd, a relay, or both; one of them is neither."
  }

  validation {
    condition     = alltrue([for node in var.nodes : can(cidrhost("${node.address}/${strcontains(node.address, ":") ? 128 : 32}", 0))])
    error_message = "nodes: address is a plain IPv4 or IPv6 address such as \"10.1.0.11\", without a prefix length."
  }

  validation {
    condition     = alltrue([for node in var.nodes : strcontains(node.address, ":") == strcontains(var.network.subnet, ":")])
    error_message = "nodes: addresses and network.subnet are of one family, all IPv4 or all IPv6."
  }

  validation {
    condition = alltrue([
      for node in var.nodes :
      strcontains(node.address, ":") != strcontains(var.network.subnet, ":") || try(
        cidrhost("${node.address}/${split("/", var.network.subnet)[1]}", 0) == cidrhost(var.network.subnet, 0), true
      )
    ])
    error_message = "nodes: an address lies outside network.subnet."
  }

  validation {
    condition     = length(distinct(concat(values(var.nodes)[*].address, [var.network.gateway]))) == length(var.nodes) + 1
    error_message = "nodes: an address is used twice, by two nodes or by a node and the gateway."
  }
}

variable "part_of_larger_cluster" {
  description = "Further members of etcd stand at other sites; the inventory module then checks the whole."
  type        = bool
  default     = false
  nullable    = false
}

variable "virtual_addresses" {
  description = "Addresses clients use, by name as in virtual_addresses of relay.yaml. They are announced by ARP or neighbour advertisements, so they lie in the nodes' own network."
  type = map(object({
    address = string
    prefer  = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in var.virtual_addresses : can(cidrhost("${one.address}/${strcontains(one.address, ":") ? 128 : 32}", 0))])
    error_message = "virtual_addresses: address is a plain IPv4 or IPv6 address such as \"10.1.0.10\"; it becomes a /32 or /128 by itself."
  }

  validation {
    condition     = length(distinct([for one in var.virtual_addresses : one.address])) == length(var.virtual_addresses)
    error_message = "virtual_addresses: an address is given twice."
  }

  validation {
    condition     = alltrue([for one in var.virtual_addresses : strcontains(one.address, ":") == strcontains(var.network.subnet, ":")])
    error_message = "virtual_addresses: address and network.subnet are of one family, both IPv4 or both IPv6."
  }

  validation {
    condition = alltrue([
      for one in var.virtual_addresses :
      strcontains(one.address, ":") != strcontains(var.network.subnet, ":") || try(
        cidrhost("${one.address}/${split("/", var.network.subnet)[1]}", 0) == cidrhost(var.network.subnet, 0), true
      )
    ])
    error_message = "virtual_addresses: an address lies outside network.subnet, where no neighbour would ask for it."
  }

  validation {
    condition = alltrue([
      for one in var.virtual_addresses : !contains(concat(values(var.nodes)[*].address, [var.network.gateway]), one.address)
    ])
    error_message = "virtual_addresses: an address belongs to a node or to the gateway already."
  }

  validation {
    condition     = alltrue([for one in var.virtual_addresses : one.prefer == null ? true : try(var.nodes[one.prefer].relay, false)])
    error_message = "virtual_addresses: prefer names a node that is a relay."
  }

  validation {
    condition     = length(var.virtual_addresses) == 0 || anytrue([for node in var.nodes : node.relay])
    error_message = "virtual_addresses: no node here is a relay, so nobody could hold an address."
  }
}

variable "network" {
  description = "The nodes' layer 2 network: its addresses and its port group. With distributed_switch and vlan_id the port group is made, else one of that name is used."
  type = object({
    subnet             = string
    gateway            = string
    dns_servers        = list(string)
    search_domain      = optional(string)
    port_group         = string
    distributed_switch = optional(string)
    vlan_id            = optional(number)
  })
  nullable = false

  validation {
    condition     = can(cidrsubnet(var.network.subnet, 0, 0)) && try(cidrsubnet(var.network.subnet, 0, 0) == var.network.subnet, true)
    error_message = "network: subnet is a network with its prefix length and no bits of a host set, such as \"10.1.0.0/24\"."
  }

  validation {
    condition     = strcontains(var.network.gateway, ":") == strcontains(var.network.subnet, ":")
    error_message = "network: gateway and subnet are of one family, both IPv4 or both IPv6."
  }

  validation {
    condition = strcontains(var.network.gateway, ":") != strcontains(var.network.subnet, ":") || try(
      cidrhost("${var.network.gateway}/${split("/", var.network.subnet)[1]}", 0) == cidrhost(var.network.subnet, 0), false
    )
    error_message = "network: the gateway lies outside the subnet."
  }

  validation {
    condition     = (var.network.distributed_switch == null) == (var.network.vlan_id == null)
    error_message = "network: distributed_switch and vlan_id come together; without both the port group must exist."
  }

  validation {
    condition     = var.network.vlan_id == null ? true : var.network.vlan_id >= 0 && var.network.vlan_id <= 4094
    error_message = "network: vlan_id is between 0 and 4094."
  }
}

variable "vsphere" {
  description = "Where the machines are made, by the names in vCenter. template: a machine with cloud-init (VMware data source), open-vm-tools and systemd 249 or later."
  type = object({
    datacenter      = string
    compute_cluster = string
    template        = string
    folder          = optional(string)
  })
  nullable = false
}

variable "size" {
  description = "Processors, memory in MiB and disks in GiB of each host. Memory is reserved: a host that is swapped out misses its lease."
  type = object({
    cpus       = optional(number, 2)
    memory_mib = optional(number, 4096)
    system_gib = optional(number, 20)
    spool_gib  = optional(number, 50)
    etcd_gib   = optional(number, 10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.size.cpus >= 1 && var.size.memory_mib >= 2048 && var.size.spool_gib >= 10 && var.size.etcd_gib >= 8
    error_message = "size: at least 1 processor, 2048 MiB of memory, 10 GiB of spool and 8 GiB for etcd."
  }
}

variable "thin_disks" {
  description = "Data disks take space as they fill, for storage that reserves by itself or cannot do otherwise (vSAN, some NFS). A datastore that is full then stops mail."
  type        = bool
  default     = false
  nullable    = false
}

variable "separate_hosts" {
  description = "must: machines that would share an ESXi host stay off (with three hosts, drain and stop one for maintenance). should: they start together if nothing else is left."
  type        = string
  default     = "must"
  nullable    = false

  validation {
    condition     = contains(["must", "should"], var.separate_hosts)
    error_message = "separate_hosts: must or should."
  }
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
