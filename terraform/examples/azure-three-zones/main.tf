# Three relays in the three zones of one Azure region, behind an internal load balancer.
# State: keep it in a storage account with access by role (backend "azurerm"); nothing in it is secret.
provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true

  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }
  }
}

locals {
  cluster = "corp-mail"
}

resource "azurerm_resource_group" "relay" {
  name     = "rg-${local.cluster}"
  location = "westeurope"
}

module "cluster" {
  source = "../../modules/azure-cluster"

  name                = local.cluster
  resource_group_name = azurerm_resource_group.relay.name
  location            = azurerm_resource_group.relay.location

  network = {
    address_space     = "10.20.0.0/24"
    zones             = { "1" = "10.20.0.0/27", "2" = "10.20.0.32/27", "3" = "10.20.0.64/27" }
    load_balancer     = "10.20.0.96/28"
    private_endpoints = "10.20.0.112/28"
  }
  nodes = {
    relay-a = { zone = "1", address = "10.20.0.4" }
    relay-b = { zone = "2", address = "10.20.0.36" }
    relay-c = { zone = "3", address = "10.20.0.68" }
  }
  virtual_address = { address = "10.20.0.100", name = "smtp" }

  client_networks     = ["10.0.0.0/8"]
  admin_networks      = ["10.9.0.0/24"]
  monitoring_networks = ["10.9.1.0/24"]
  ssh_public_keys     = var.ssh_public_keys
  key_vault           = { name = var.key_vault_name, private_dns_zone_id = var.key_vault_dns_zone_id }
  alerts              = { webhooks = { on-call = var.alert_webhook } }
}

# The nodes' managed identity signs in to Microsoft 365: no application, no certificate, no secret.
module "exchange" {
  source = "../../modules/exchange-commands"

  client_id = module.cluster.identity.client_id
  object_id = module.cluster.identity.object_id
  mailboxes = ["relay1@contoso.com", "relay2@contoso.com"]
}

module "inventory" {
  source = "../../modules/inventory"

  cluster_name      = local.cluster
  nodes             = [module.cluster.nodes]
  virtual_addresses = [module.cluster.virtual_addresses]
  ssh_user          = module.cluster.ssh_user
}
