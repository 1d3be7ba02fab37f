# The virtual address moves by ARP within this network, with each host's own MAC address: the port group needs neither
# promiscuous mode nor forged transmits nor MAC changes, and a router's ARP inspection must not pin the address.
data "vsphere_distributed_virtual_switch" "relay" {
  count = var.network.distributed_switch == null ? 0 : 1

  name          = var.network.distributed_switch
  datacenter_id = data.vsphere_datacenter.relay.id
}

resource "vsphere_distributed_port_group" "relay" {
  count = var.network.distributed_switch == null ? 0 : 1

  name                            = var.network.port_group
  description                     = "Relays of ${var.name}: ${var.network.subnet}"
  distributed_virtual_switch_uuid = data.vsphere_distributed_virtual_switch.relay[0].id
  vlan_id                         = var.network.vlan_id
  allow_promiscuous               = false
  allow_forged_transmits          = false
  allow_mac_changes               = false
}

data "vsphere_network" "relay" {
  count = var.network.distributed_switch == null ? 1 : 0

  name          = var.network.port_group
  datacenter_id = data.vsphere_datacenter.relay.id
}
