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
