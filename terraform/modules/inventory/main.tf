# The inventory is data of the contract with the playbooks: groups etcd and relay, both below relay_cluster.
locals {
  nodes     = merge(var.nodes...)
  addresses = merge(var.virtual_addresses...)

  members = {
    for group in ["etcd", "relay"] : group => {
      hosts = { for name, node in local.nodes : name => null if node[group] }
    }
  }

  hosts = {
    for name, node in local.nodes : name => {
      ansible_host    = node.address
      relay_node_name = name
      relay_site      = node.site
    }
  }

  relay_addresses = [
    for name, one in local.addresses : merge(
      {
        name    = name
        address = "${one.address}/${strcontains(one.address, ":") ? 128 : 32}"
        site    = one.site
        driver  = one.driver
      },
      one.prefer == null ? {} : { prefer = one.prefer },
      one.probe_port == null ? {} : { probe = { port = one.probe_port } },
    )
  ]

  inventory = {
    all = {
      hosts = local.hosts
      children = {
        relay_cluster = {
          vars = {
            ansible_user       = var.ssh_user
            relay_cluster_name = var.cluster_name
            relay_addresses    = local.relay_addresses
          }
          children = local.members
        }
      }
    }
  }
}
