# What is made. No run needs a subscription: the provider is a mock.
mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = { tenant_id = "8f2c1a0e-0000-4000-8000-000000000000" }
  }
}

variables {
  name                = "corp-mail"
  resource_group_name = "rg-corp-mail"
  location            = "westeurope"
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
  virtual_address = { address = "10.20.0.100" }
  client_networks = ["10.0.0.0/8"]
  admin_networks  = ["10.9.0.0/24"]
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
  key_vault       = { name = "kv-corp-mail" }
  alerts          = { webhooks = { on-call = "https://alerts.corp.example/relay" } }
}

run "one_node_in_each_zone" {
  command = plan

  assert {
    condition     = { for name, vm in azurerm_linux_virtual_machine.node : name => vm.zone } == { relay-a = "1", relay-b = "2", relay-c = "3" }
    error_message = "each node in its zone"
  }

  assert {
    condition     = alltrue([for name, disk in azurerm_managed_disk.data : disk.zone == var.nodes[split("/", name)[0]].zone])
    error_message = "a disk in another zone than its machine cannot be attached"
  }

  assert {
    condition     = alltrue([for attached in azurerm_virtual_machine_data_disk_attachment.data : attached.caching == "None"])
    error_message = "a sync must reach the disk"
  }
}

run "the_probe_asks_the_relay" {
  command = plan

  assert {
    condition     = azurerm_lb_probe.relay.request_path == "/vip/smtp" && azurerm_lb_probe.relay.port == 8026 && azurerm_lb_probe.relay.protocol == "Http"
    error_message = "GET /vip/NAME at the port of driver probe"
  }

  assert {
    condition     = { for name, rule in azurerm_lb_rule.listener : name => rule.frontend_port } == { smtp = 25, submission = 587 }
    error_message = "a rule for each listener"
  }

  assert {
    condition     = output.virtual_addresses.smtp.driver == "probe" && output.virtual_addresses.smtp.address == "10.20.0.100"
    error_message = "the inventory learns the driver"
  }
}

run "closed_by_default" {
  command = plan

  assert {
    condition = { for name, rule in azurerm_network_security_rule.relay : name => rule.destination_port_ranges if rule.direction == "Inbound" && rule.access == "Allow" } == {
      clients       = toset(["25", "587"])
      admin         = toset(["22", "8443"])
      peers         = toset(["2379", "2380", "7711", "7712"])
      load-balancer = toset(["8026"])
    }
    error_message = "nothing but listeners, administration, peers and the probe is open"
  }

  assert {
    condition     = azurerm_network_security_rule.relay["nothing-else"].priority == 4096 && azurerm_network_security_rule.relay["nothing-else"].access == "Deny"
    error_message = "the rest is refused"
  }

  assert {
    condition     = alltrue([for rule in azurerm_network_security_rule.relay : rule.source_address_prefix != "*" && rule.source_address_prefix != "Internet" if rule.direction == "Inbound" && rule.access == "Allow"])
    error_message = "nobody comes in from everywhere"
  }

  assert {
    condition     = !azurerm_key_vault.relay.public_network_access_enabled && azurerm_key_vault.relay.rbac_authorization_enabled && azurerm_key_vault.relay.purge_protection_enabled
    error_message = "the vault is closed to the Internet, by role, and cannot be emptied for good"
  }
}

run "egress_is_static_and_by_zone" {
  command = plan

  assert {
    condition     = { for zone, address in azurerm_public_ip.egress : zone => one(address.zones) } == { "1" = "1", "2" = "2", "3" = "3" }
    error_message = "no zone's way out depends on another zone"
  }

  assert {
    condition     = alltrue([for address in azurerm_public_ip.egress : address.allocation_method == "Static" && address.sku == "Standard"])
    error_message = "Exchange is told these addresses"
  }
}

run "a_witness_has_no_spool" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.4" }
      relay-b = { zone = "2", address = "10.20.0.36" }
      etcd-w  = { zone = "3", address = "10.20.0.68", relay = false }
    }
  }

  assert {
    condition     = toset(keys(azurerm_managed_disk.data)) == toset(["relay-a/spool", "relay-a/etcd", "relay-b/spool", "relay-b/etcd", "etcd-w/etcd"])
    error_message = "disks as the roles need them"
  }

  assert {
    condition     = toset(keys(azurerm_network_interface_backend_address_pool_association.relay)) == toset(["relay-a", "relay-b"])
    error_message = "clients are never sent to a host without a relay"
  }

  assert {
    condition     = azurerm_monitor_metric_alert.balancer["nobody-holds-the-address"].criteria[0].threshold == 25
    error_message = "of two relays one answers: half; below a quarter nobody does"
  }
}
