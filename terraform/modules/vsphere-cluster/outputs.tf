output "nodes" {
  description = "The hosts as the inventory module takes them."
  value = {
    for name, node in var.nodes : name => {
      address = node.address
      site    = var.site
      etcd    = node.etcd
      relay   = node.relay
    }
  }

  depends_on = [vsphere_virtual_machine.node]
}

output "virtual_addresses" {
  description = "The virtual addresses as the inventory module takes them."
  value = {
    for name, one in var.virtual_addresses : name => {
      address    = one.address
      site       = var.site
      driver     = "netlink"
      prefer     = one.prefer
      probe_port = null
    }
  }
}

output "machine_ids" {
  description = "Managed object ids of the machines by node."
  value       = { for name, node in vsphere_virtual_machine.node : name => node.moid }
}

output "ssh_user" {
  description = "User Ansible signs in as."
  value       = var.ssh_user
}
