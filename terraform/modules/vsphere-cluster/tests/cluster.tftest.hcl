# What is made, and that bad input is refused before vCenter sees it. No run needs a vCenter: the provider is a mock.
mock_provider "vsphere" {
  mock_data "vsphere_virtual_machine" {
    defaults = {
      guest_id = "debian12_64Guest"
      firmware = "efi"
      disks    = [{ size = 8, thin_provisioned = true, eagerly_scrub = false, label = "disk0", unit_number = 0 }]
    }
  }
}

variables {
  name    = "corp-mail"
  site    = "dc1"
  vsphere = { datacenter = "dc1", compute_cluster = "prod", template = "debian-12-cloud" }
  network = { subnet = "10.1.0.0/24", gateway = "10.1.0.1", dns_servers = ["10.1.0.2"], port_group = "relays" }
  nodes = {
    relay-a = { address = "10.1.0.11", datastore = "san-1" }
    relay-b = { address = "10.1.0.12", datastore = "san-2" }
    relay-c = { address = "10.1.0.13", datastore = "san-3" }
  }
  virtual_addresses = { smtp = { address = "10.1.0.10", prefer = "relay-a" } }
  ssh_public_keys   = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
}

run "three_machines_apart" {
  command = plan

  assert {
    condition     = toset(keys(vsphere_virtual_machine.node)) == toset(["relay-a", "relay-b", "relay-c"])
    error_message = "three machines"
  }

  assert {
    condition     = vsphere_compute_cluster_vm_anti_affinity_rule.nodes[0].mandatory
    error_message = "never two on one host"
  }

  assert {
    condition     = alltrue([for vm in vsphere_virtual_machine.node : vm.memory_reservation == vm.memory])
    error_message = "a host that is swapped out misses its lease"
  }

  assert {
    condition     = [for disk in vsphere_virtual_machine.node["relay-a"].disk : [disk.label, disk.unit_number]] == [["system", 0], ["spool", 1], ["etcd", 2]]
    error_message = "spool and etcd have disks of their own, found by unit number"
  }
}

run "disks_are_whole_unless_storage_cannot" {
  command = plan

  variables {
    thin_disks = true
  }

  assert {
    condition     = alltrue([for disk in vsphere_virtual_machine.node["relay-a"].disk : disk.thin_provisioned && !disk.eagerly_scrub if disk.label != "system"])
    error_message = "thin where asked for, and never both"
  }
}

run "cloud_init_knows_the_address" {
  command = plan

  assert {
    condition     = yamldecode(base64decode(vsphere_virtual_machine.node["relay-b"].extra_config["guestinfo.metadata"])).network.ethernets.relay.addresses == ["10.1.0.12/24"]
    error_message = "the host's own address with the network's prefix length"
  }

  assert {
    condition     = yamldecode(base64decode(vsphere_virtual_machine.node["relay-b"].extra_config["guestinfo.userdata"])).hostname == "relay-b"
    error_message = "the relay finds its node by the host name"
  }
}

run "a_port_group_of_its_own" {
  command = plan

  variables {
    network = {
      subnet     = "10.1.0.0/24", gateway = "10.1.0.1", dns_servers = ["10.1.0.2"]
      port_group = "relays", distributed_switch = "prod", vlan_id = 110
    }
  }

  assert {
    condition     = !vsphere_distributed_port_group.relay[0].allow_forged_transmits && !vsphere_distributed_port_group.relay[0].allow_promiscuous && !vsphere_distributed_port_group.relay[0].allow_mac_changes
    error_message = "the address moves without any of them"
  }
}

run "a_witness_of_a_larger_cluster" {
  command = plan

  variables {
    part_of_larger_cluster = true
    nodes                  = { etcd-w = { address = "10.1.0.11", datastore = "san-1", relay = false } }
    virtual_addresses      = {}
  }

  assert {
    condition     = [for disk in vsphere_virtual_machine.node["etcd-w"].disk : disk.label] == ["system", "etcd"] && length(vsphere_compute_cluster_vm_anti_affinity_rule.nodes) == 0
    error_message = "a member of etcd and nothing else"
  }
}

run "ipv6_throughout" {
  command = plan

  variables {
    network = { subnet = "fd00:1::/64", gateway = "fd00:1::1", dns_servers = ["fd00:1::2"], port_group = "relays" }
    nodes = {
      relay-a = { address = "fd00:1::11", datastore = "san-1" }
      relay-b = { address = "fd00:1::12", datastore = "san-2" }
      relay-c = { address = "fd00:1::13", datastore = "san-3" }
    }
    virtual_addresses = { smtp = { address = "fd00:1::10" } }
  }

  assert {
    condition     = output.virtual_addresses.smtp.address == "fd00:1::10"
    error_message = "an IPv6-only site"
  }
}

run "warns_of_one_datastore" {
  command = plan

  variables {
    nodes = {
      relay-a = { address = "10.1.0.11", datastore = "san-1" }
      relay-b = { address = "10.1.0.12", datastore = "san-1" }
      relay-c = { address = "10.1.0.13", datastore = "san-1" }
    }
  }
  expect_failures = [check.separate_storage]
}

run "refuses_two_nodes" {
  command = plan

  variables {
    nodes = {
      relay-a = { address = "10.1.0.11", datastore = "san-1" }
      relay-b = { address = "10.1.0.12", datastore = "san-2" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_mixed_families" {
  command = plan

  variables {
    nodes = {
      relay-a = { address = "10.1.0.11", datastore = "san-1" }
      relay-b = { address = "10.1.0.12", datastore = "san-2" }
      relay-c = { address = "fd00::13", datastore = "san-3" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_an_ipv6_virtual_address_in_an_ipv4_network" {
  command = plan

  variables {
    virtual_addresses = { smtp = { address = "fd00::10" } }
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_a_virtual_address_outside_its_network" {
  command = plan

  variables {
    virtual_addresses = { smtp = { address = "10.2.0.10" } }
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_a_node_s_address_as_virtual_address" {
  command = plan

  variables {
    virtual_addresses = { smtp = { address = "10.1.0.11" } }
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_a_node_outside_its_network" {
  command = plan

  variables {
    nodes = {
      relay-a = { address = "10.1.0.11", datastore = "san-1" }
      relay-b = { address = "10.1.1.12", datastore = "san-2" }
      relay-c = { address = "10.1.0.13", datastore = "san-3" }
    }
  }
  expect_failures = [var.nodes]
}

run "refuses_a_gateway_of_the_other_family" {
  command = plan

  variables {
    network = { subnet = "10.1.0.0/24", gateway = "fd00::1", dns_servers = ["10.1.0.2"], port_group = "relays" }
  }
  expect_failures = [var.network]
}

run "refuses_a_switch_without_vlan" {
  command = plan

  variables {
    network = { subnet = "10.1.0.0/24", gateway = "10.1.0.1", dns_servers = ["10.1.0.2"], port_group = "relays", distributed_switch = "prod" }
  }
  expect_failures = [var.network]
}
