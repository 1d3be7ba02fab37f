resource "azurerm_virtual_network" "relay" {
  name                = "vnet-${var.name}"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  address_space       = [var.network.address_space]
  dns_servers         = var.network.dns_servers
  tags                = local.tags
}

# A subnet for each zone, so that each zone leaves by its own NAT gateway and none depends on another's.
resource "azurerm_subnet" "zone" {
  for_each = var.network.zones

  name                            = "zone-${each.key}"
  resource_group_name             = local.place.resource_group_name
  virtual_network_name            = azurerm_virtual_network.relay.name
  address_prefixes                = [each.value]
  default_outbound_access_enabled = false
}

resource "azurerm_subnet" "load_balancer" {
  name                            = "load-balancer"
  resource_group_name             = local.place.resource_group_name
  virtual_network_name            = azurerm_virtual_network.relay.name
  address_prefixes                = [var.network.load_balancer]
  default_outbound_access_enabled = false
}

resource "azurerm_subnet" "private_endpoints" {
  name                              = "private-endpoints"
  resource_group_name               = local.place.resource_group_name
  virtual_network_name              = azurerm_virtual_network.relay.name
  address_prefixes                  = [var.network.private_endpoints]
  private_endpoint_network_policies = "NetworkSecurityGroupEnabled"
  default_outbound_access_enabled   = false
}

# Static addresses: Microsoft's inbound connector may be matched by them, and they must be nobody else's.
resource "azurerm_public_ip" "egress" {
  for_each = var.network.zones

  name                = "pip-${var.name}-egress-${each.key}"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = [each.key]
  tags                = local.tags
}

resource "azurerm_nat_gateway" "zone" {
  for_each = var.network.zones

  name                    = "ng-${var.name}-${each.key}"
  location                = local.place.location
  resource_group_name     = local.place.resource_group_name
  sku_name                = "Standard"
  idle_timeout_in_minutes = 10
  zones                   = [each.key]
  tags                    = local.tags
}

resource "azurerm_nat_gateway_public_ip_association" "zone" {
  for_each = var.network.zones

  nat_gateway_id       = azurerm_nat_gateway.zone[each.key].id
  public_ip_address_id = azurerm_public_ip.egress[each.key].id
}

resource "azurerm_subnet_nat_gateway_association" "zone" {
  for_each = var.network.zones

  subnet_id      = azurerm_subnet.zone[each.key].id
  nat_gateway_id = azurerm_nat_gateway.zone[each.key].id
}
