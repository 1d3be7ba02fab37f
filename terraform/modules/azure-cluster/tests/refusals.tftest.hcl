# Bad input is refused before Azure sees it. No run needs a subscription: the provider is a mock.
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

run "refuses_two_nodes" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.4" }
      relay-b = { zone = "2", address = "10.20.0.36" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_one_zone_for_three_nodes" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.4" }
      relay-b = { zone = "1", address = "10.20.0.5" }
      relay-c = { zone = "1", address = "10.20.0.6" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_a_zone_that_is_none" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.4" }
      relay-b = { zone = "2", address = "10.20.0.36" }
      relay-c = { zone = "4", address = "10.20.0.68" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_ipv6_for_a_node" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "fd00::4" }
      relay-b = { zone = "2", address = "10.20.0.36" }
      relay-c = { zone = "3", address = "10.20.0.68" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_a_node_outside_its_subnet" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.40" }
      relay-b = { zone = "2", address = "10.20.0.36" }
      relay-c = { zone = "3", address = "10.20.0.68" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_an_address_azure_keeps" {
  command = plan

  variables {
    nodes = {
      relay-a = { zone = "1", address = "10.20.0.3" }
      relay-b = { zone = "2", address = "10.20.0.36" }
      relay-c = { zone = "3", address = "10.20.0.68" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_a_virtual_address_outside_its_subnet" {
  command = plan

  variables {
    virtual_address = { address = "10.20.0.200" }
  }
  expect_failures = [var.virtual_address]
}

run "refuses_an_ipv6_virtual_address" {
  command = plan

  variables {
    virtual_address = { address = "fd00::100" }
  }
  expect_failures = [var.virtual_address]
}

run "refuses_a_range_with_host_bits" {
  command = plan

  variables {
    network = {
      address_space     = "10.20.0.5/24"
      zones             = { "1" = "10.20.0.0/27", "2" = "10.20.0.32/27", "3" = "10.20.0.64/27" }
      load_balancer     = "10.20.0.96/28"
      private_endpoints = "10.20.0.112/28"
    }
  }
  expect_failures = [var.network]
}

run "refuses_a_subnet_outside_the_network" {
  command = plan

  variables {
    network = {
      address_space     = "10.20.0.0/24"
      zones             = { "1" = "10.20.0.0/27", "2" = "10.20.0.32/27", "3" = "10.20.0.64/27" }
      load_balancer     = "10.20.0.96/28"
      private_endpoints = "10.21.0.112/28"
    }
  }
  expect_failures = [var.network]
}

run "refuses_the_whole_world_as_clients" {
  command = plan

  variables {
    client_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.client_networks]
}

run "refuses_administration_from_everywhere" {
  command = plan

  variables {
    admin_networks = ["10.0.0.0/8"]
  }
  expect_failures = [var.admin_networks]
}

run "refuses_a_size_whose_disks_are_named_otherwise" {
  command = plan

  variables {
    vm_size = "Standard_D2s_v6"
  }
  expect_failures = [var.vm_size]
}

run "refuses_alarms_to_nobody" {
  command = plan

  variables {
    alerts = {}
  }
  expect_failures = [var.alerts]
}

run "refuses_the_probe_on_a_listener_s_port" {
  command = plan

  variables {
    virtual_address = { address = "10.20.0.100", probe_port = 2525 }
    listeners       = { printers = 2525 }
  }
  expect_failures = [var.virtual_address]
}
