# The contract with the playbooks, and what it refuses.
variables {
  cluster_name = "corp-mail"
  nodes = [{
    relay-a = { address = "10.1.0.11", site = "dc1" }
    relay-b = { address = "10.2.0.11", site = "dc2" }
    etcd-w  = { address = "10.3.0.11", site = "office", relay = false }
  }]
  virtual_addresses = [{
    smtp-dc1 = { address = "10.1.0.10", site = "dc1", driver = "netlink", prefer = "relay-a" }
    smtp-dc2 = { address = "10.2.0.10", site = "dc2", driver = "probe", probe_port = 8026 }
  }]
}

run "follows_the_contract" {
  assert {
    condition     = toset(keys(yamldecode(output.yaml).all.children.relay_cluster.children.etcd.hosts)) == toset(["relay-a", "relay-b", "etcd-w"])
    error_message = "etcd holds every host with a member, the witness too"
  }

  assert {
    condition     = toset(keys(yamldecode(output.yaml).all.children.relay_cluster.children.relay.hosts)) == toset(["relay-a", "relay-b"])
    error_message = "relay holds the relays alone"
  }

  assert {
    condition     = yamldecode(output.yaml).all.hosts.relay-b == { ansible_host = "10.2.0.11", relay_node_name = "relay-b", relay_site = "dc2" }
    error_message = "a host has its address, name and site"
  }

  assert {
    condition = yamldecode(output.yaml).all.children.relay_cluster.vars.relay_addresses == [
      { name = "smtp-dc1", address = "10.1.0.10/32", site = "dc1", driver = "netlink", prefer = "relay-a" },
      { name = "smtp-dc2", address = "10.2.0.10/32", site = "dc2", driver = "probe", probe = { port = 8026 } },
    ]
    error_message = "addresses carry their prefix length, site and driver"
  }
}

run "ipv6_gets_128" {
  variables {
    nodes = [{
      relay-a = { address = "fd00::11", site = "dc1" }
      relay-b = { address = "fd00::12", site = "dc1" }
      relay-c = { address = "fd00::13", site = "dc1" }
    }]
    virtual_addresses = [{ smtp = { address = "fd00::10", site = "dc1", driver = "netlink" } }]
  }

  assert {
    condition     = yamldecode(output.yaml).all.children.relay_cluster.vars.relay_addresses[0].address == "fd00::10/128"
    error_message = "an IPv6 address is a /128"
  }
}

run "refuses_two_members" {
  command = plan

  variables {
    nodes = [{
      relay-a = { address = "10.1.0.11", site = "dc1" }
      relay-b = { address = "10.2.0.11", site = "dc2" }
    }]
  }
  expect_failures = [var.nodes]
}

run "refuses_most_members_at_one_site" {
  command = plan

  variables {
    nodes = [{
      relay-a = { address = "10.1.0.11", site = "dc1" }
      relay-b = { address = "10.2.0.11", site = "dc2" }
      etcd-w  = { address = "10.1.0.12", site = "dc1", relay = false }
    }]
  }
  expect_failures = [var.nodes]
}

run "refuses_a_prefix_length_in_an_address" {
  command = plan

  variables {
    virtual_addresses = [{ smtp-dc1 = { address = "10.1.0.10/24", site = "dc1", driver = "netlink" } }]
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_a_node_s_own_address" {
  command = plan

  variables {
    virtual_addresses = [{ smtp-dc1 = { address = "10.1.0.11", site = "dc1", driver = "netlink" } }]
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_an_address_where_no_relay_stands" {
  command = plan

  variables {
    virtual_addresses = [{ smtp = { address = "10.3.0.10", site = "office", driver = "netlink" } }]
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_a_probe_without_its_port" {
  command = plan

  variables {
    virtual_addresses = [{ smtp = { address = "10.1.0.10", site = "dc1", driver = "probe" } }]
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_to_prefer_a_node_elsewhere" {
  command = plan

  variables {
    virtual_addresses = [{ smtp = { address = "10.1.0.10", site = "dc1", driver = "netlink", prefer = "relay-b" } }]
  }
  expect_failures = [var.virtual_addresses]
}

run "refuses_one_name_at_two_sites" {
  command = plan

  variables {
    nodes = [
      { relay-a = { address = "10.1.0.11", site = "dc1" }, relay-b = { address = "10.1.0.12", site = "dc1", etcd = false } },
      { relay-a = { address = "10.2.0.11", site = "dc2" }, relay-c = { address = "10.2.0.12", site = "dc2" } },
      { etcd-w = { address = "10.3.0.11", site = "office", relay = false } },
    ]
  }
  expect_failures = [var.nodes]
}
