# The relay decides who holds the address; the balancer asks each node and sends clients to the one that answers 200.
resource "azurerm_lb" "relay" {
  name                = "lbi-${var.name}"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  sku                 = "Standard"
  tags                = local.tags

  frontend_ip_configuration {
    name                          = "smtp"
    subnet_id                     = azurerm_subnet.load_balancer.id
    private_ip_address_allocation = "Static"
    private_ip_address            = var.virtual_address.address
    private_ip_address_version    = "IPv4"
    zones                         = ["1", "2", "3"]
  }
}

resource "azurerm_lb_backend_address_pool" "relay" {
  name            = "relays"
  loadbalancer_id = azurerm_lb.relay.id
}

resource "azurerm_lb_probe" "relay" {
  name                = "holder"
  loadbalancer_id     = azurerm_lb.relay.id
  protocol            = "Http"
  port                = var.virtual_address.probe_port
  request_path        = "/vip/${var.virtual_address.name}"
  interval_in_seconds = 5 # Azure's shortest
  probe_threshold     = 1 # the answer is a decision of the cluster, not a measurement: once is enough
}

resource "azurerm_lb_rule" "listener" {
  for_each = var.listeners

  name                           = each.key
  loadbalancer_id                = azurerm_lb.relay.id
  frontend_ip_configuration_name = "smtp"
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.relay.id]
  probe_id                       = azurerm_lb_probe.relay.id
  protocol                       = "Tcp"
  frontend_port                  = each.value
  backend_port                   = each.value
  idle_timeout_in_minutes        = 10
  tcp_reset_enabled              = true # a client hears of a session that is gone instead of waiting for it
  disable_outbound_snat          = true # nodes leave by their NAT gateway alone
}

resource "azurerm_network_interface_backend_address_pool_association" "relay" {
  for_each = local.relays

  network_interface_id    = azurerm_network_interface.node[each.key].id
  ip_configuration_name   = "node"
  backend_address_pool_id = azurerm_lb_backend_address_pool.relay.id
}
