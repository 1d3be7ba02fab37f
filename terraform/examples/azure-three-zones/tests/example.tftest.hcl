mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = { tenant_id = "8f2c1a0e-0000-4000-8000-000000000000" }
  }
}

variables {
  subscription_id = "00000000-0000-4000-8000-000000000000"
  key_vault_name  = "kv-corp-mail-example"
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
  alert_webhook   = "https://alerts.corp.example/relay"
}

run "inventory_of_the_plan" {
  command = plan

  assert {
    condition     = yamldecode(output.ansible_inventory).all.hosts.relay-c == { ansible_host = "10.20.0.68", relay_node_name = "relay-c", relay_site = "westeurope" }
    error_message = "the hosts of the three zones, one site"
  }

  assert {
    condition     = yamldecode(output.ansible_inventory).all.children.relay_cluster.vars.relay_addresses[0].address == "10.20.0.100/32"
    error_message = "the balancer's address"
  }
}
