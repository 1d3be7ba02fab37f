output "nodes" {
  description = "The hosts as the inventory module takes them."
  value = {
    for name, node in var.nodes : name => {
      address = azurerm_network_interface.node[name].ip_configuration[0].private_ip_address
      site    = local.site
      etcd    = node.etcd
      relay   = node.relay
    }
  }
}

output "virtual_addresses" {
  description = "The virtual address as the inventory module takes it."
  value = {
    (var.virtual_address.name) = {
      address    = azurerm_lb.relay.frontend_ip_configuration[0].private_ip_address
      site       = local.site
      driver     = "probe"
      prefer     = var.virtual_address.prefer
      probe_port = azurerm_lb_probe.relay.port
    }
  }
}

output "egress_addresses" {
  description = "Public addresses the nodes leave by, by zone: for an inbound connector matched by address, and for SPF."
  value       = { for zone, address in azurerm_public_ip.egress : zone => address.ip_address }
}

output "identity" {
  description = "The nodes' managed identity: client_id for relay.yaml, object_id for Exchange."
  value = {
    client_id = azurerm_user_assigned_identity.relay.client_id
    object_id = azurerm_user_assigned_identity.relay.principal_id
  }
}

output "key_vault_uri" {
  description = "Vault for what the hosts read when they are set up."
  value       = azurerm_key_vault.relay.vault_uri
}

output "key_vault_address" {
  description = "Private address of the vault, for your DNS where no private_dns_zone_id was given."
  value       = azurerm_private_endpoint.vault.private_service_connection[0].private_ip_address
}

output "virtual_network_id" {
  description = "Network to peer with: clients come from there."
  value       = azurerm_virtual_network.relay.id
}

output "ssh_user" {
  description = "User Ansible signs in as."
  value       = var.ssh_user
}
