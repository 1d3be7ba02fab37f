resource "azurerm_key_vault" "relay" {
  name                          = var.key_vault.name
  location                      = local.place.location
  resource_group_name           = local.place.resource_group_name
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = false
  tags                          = local.tags

  network_acls {
    bypass         = "None"
    default_action = "Deny"
  }
}

resource "azurerm_role_assignment" "nodes_read" {
  scope                = azurerm_key_vault.relay.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.relay.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "officers_write" {
  for_each = var.key_vault.officers

  scope                = azurerm_key_vault.relay.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = each.value
}

resource "azurerm_private_endpoint" "vault" {
  name                = "pep-${var.name}-vault"
  location            = local.place.location
  resource_group_name = local.place.resource_group_name
  subnet_id           = azurerm_subnet.private_endpoints.id
  tags                = local.tags

  private_service_connection {
    name                           = "vault"
    private_connection_resource_id = azurerm_key_vault.relay.id
    is_manual_connection           = false
    subresource_names              = ["vault"]
  }

  dynamic "private_dns_zone_group" {
    for_each = var.key_vault.private_dns_zone_id == null ? [] : [var.key_vault.private_dns_zone_id]

    content {
      name                 = "vault"
      private_dns_zone_ids = [private_dns_zone_group.value]
    }
  }
}
