# What is not named here is refused, inwards and towards the Internet.
locals {
  zones = values(var.network.zones)

  listeners = [for port in values(var.listeners) : tostring(port)]
  outbound  = [for port in var.outbound_ports : tostring(port)]
  clients   = tolist(var.client_networks)
  admins    = tolist(var.admin_networks)
  scrapers  = tolist(var.monitoring_networks)

  inbound = {
    clients       = { order = 100, access = "Allow", from = local.clients, to = local.zones, ports = local.listeners }
    admin         = { order = 110, access = "Allow", from = local.admins, to = local.zones, ports = ["22", tostring(var.admin_port)] }
    peers         = { order = 120, access = "Allow", from = local.zones, to = local.zones, ports = local.peer_ports }
    load-balancer = { order = 130, access = "Allow", from = ["AzureLoadBalancer"], to = local.zones, ports = [tostring(var.virtual_address.probe_port)] }
    metrics       = { order = 140, access = "Allow", from = local.scrapers, to = local.zones, ports = [tostring(var.metrics_port)] }
    nothing-else  = { order = 4096, access = "Deny", from = ["*"], to = ["*"], ports = ["*"] }
  }
  outward = {
    to-vault         = { order = 100, access = "Allow", from = local.zones, to = [var.network.private_endpoints], ports = ["443"] }
    to-peers         = { order = 110, access = "Allow", from = local.zones, to = local.zones, ports = local.peer_ports }
    to-internet      = { order = 120, access = "Allow", from = local.zones, to = ["Internet"], ports = local.outbound }
    no-other-outward = { order = 4096, access = "Deny", from = ["*"], to = ["Internet"], ports = ["*"] }
  }

  # A word such as Internet or * goes into the singular argument, ranges into the plural one; Azure refuses it otherwise.
  rules = {
    for name, rule in merge(
      { for name, rule in local.inbound : name => merge(rule, { direction = "Inbound" }) if length(rule.from) > 0 },
      { for name, rule in local.outward : name => merge(rule, { direction = "Outbound" }) },
      ) : name => merge(rule, {
        from_word = strcontains(rule.from[0], "/") ? null : rule.from[0]
        from_nets = strcontains(rule.from[0], "/") ? sort(rule.from) : null
        to_word   = strcontains(rule.to[0], "/") ? null : rule.to[0]
        to_nets   = strcontains(rule.to[0], "/") ? sort(rule.to) : null
        port_word = rule.ports[0] == "*" ? "*" : null
        port_list = rule.ports[0] == "*" ? null : sort(rule.ports)
    })
  }
}

resource "azurerm_network_security_group" "relay" {
  name                = "nsg-${var.name}"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  tags                = local.tags
}

resource "azurerm_network_security_rule" "relay" {
  for_each = local.rules

  name                        = each.key
  resource_group_name         = local.place.resource_group_name
  network_security_group_name = azurerm_network_security_group.relay.name
  priority                    = each.value.order
  direction                   = each.value.direction
  access                      = each.value.access
  protocol                    = each.value.access == "Deny" ? "*" : "Tcp"
  source_port_range           = "*"

  source_address_prefix        = each.value.from_word
  source_address_prefixes      = each.value.from_nets
  destination_address_prefix   = each.value.to_word
  destination_address_prefixes = each.value.to_nets
  destination_port_range       = each.value.port_word
  destination_port_ranges      = each.value.port_list
}

resource "azurerm_subnet_network_security_group_association" "zone" {
  for_each = var.network.zones

  subnet_id                 = azurerm_subnet.zone[each.key].id
  network_security_group_id = azurerm_network_security_group.relay.id

  depends_on = [azurerm_network_security_rule.relay] # never a subnet under an empty group
}

# The vault's endpoint answers the nodes and nobody else; the load balancer's subnet has no machine in it.
resource "azurerm_network_security_group" "vault" {
  name                = "nsg-${var.name}-vault"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  tags                = local.tags
}

resource "azurerm_network_security_rule" "vault" {
  for_each = {
    nodes        = { order = 100, access = "Allow", from = concat(local.zones, tolist(var.admin_networks)), port = "443" }
    nothing-else = { order = 4096, access = "Deny", from = ["*"], port = "*" }
  }

  name                        = each.key
  resource_group_name         = local.place.resource_group_name
  network_security_group_name = azurerm_network_security_group.vault.name
  priority                    = each.value.order
  direction                   = "Inbound"
  access                      = each.value.access
  protocol                    = each.value.access == "Deny" ? "*" : "Tcp"
  source_port_range           = "*"
  source_address_prefix       = contains(each.value.from, "*") ? "*" : null
  source_address_prefixes     = contains(each.value.from, "*") ? null : sort(each.value.from)
  destination_address_prefix  = "*"
  destination_port_range      = each.value.port
}

resource "azurerm_subnet_network_security_group_association" "vault" {
  subnet_id                 = azurerm_subnet.private_endpoints.id
  network_security_group_id = azurerm_network_security_group.vault.id

  depends_on = [azurerm_network_security_rule.vault]
}

resource "azurerm_subnet_network_security_group_association" "load_balancer" {
  subnet_id                 = azurerm_subnet.load_balancer.id
  network_security_group_id = azurerm_network_security_group.relay.id

  depends_on = [azurerm_network_security_rule.relay]
}
