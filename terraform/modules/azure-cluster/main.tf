locals {
  site       = coalesce(var.site, var.location)
  relays     = { for name, node in var.nodes : name => node if node.relay }
  peer_ports = ["2379", "2380", "7711", "7712"] # etcd for clients and members, relay-node, relay-coordinator
  tags       = merge({ cluster = var.name }, var.tags)

  place = {
    location            = var.location
    resource_group_name = var.resource_group_name
  }
}

data "azurerm_client_config" "current" {}

# One identity for all nodes: one entry in Exchange, no secret anywhere. relay.yaml: app: {managed_identity: user}.
resource "azurerm_user_assigned_identity" "relay" {
  name                = "id-${var.name}"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  tags                = local.tags
}
