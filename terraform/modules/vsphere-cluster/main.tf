data "vsphere_datacenter" "relay" {
  name = var.vsphere.datacenter
}

data "vsphere_compute_cluster" "relay" {
  name          = var.vsphere.compute_cluster
  datacenter_id = data.vsphere_datacenter.relay.id
}

data "vsphere_virtual_machine" "template" {
  name          = var.vsphere.template
  datacenter_id = data.vsphere_datacenter.relay.id
}

data "vsphere_datastore" "node" {
  for_each = toset(values(var.nodes)[*].datastore)

  name          = each.value
  datacenter_id = data.vsphere_datacenter.relay.id
}

locals {
  prefix_length = split("/", var.network.subnet)[1]
  network_id    = var.network.distributed_switch == null ? data.vsphere_network.relay[0].id : vsphere_distributed_port_group.relay[0].id

  # Data disks by unit number on the first controller, which is how the host finds them: /dev/sdb may be either.
  disks = {
    for name, node in var.nodes : name => concat(
      node.relay ? [{ use = "spool", unit = 1, gib = var.size.spool_gib, path = "/var/lib/m365-relay" }] : [],
      node.etcd ? [{ use = "etcd", unit = 2, gib = var.size.etcd_gib, path = "/var/lib/etcd" }] : [],
    )
  }

  # Network and name for cloud-init, which reads both before anything else.
  metadata = {
    for name, node in var.nodes : name => yamlencode({
      instance-id    = "${var.name}-${name}"
      local-hostname = name
      network = {
        version = 2
        ethernets = {
          relay = {
            match     = { name = "e*" }
            dhcp4     = false
            dhcp6     = false
            accept-ra = false
            addresses = ["${node.address}/${local.prefix_length}"]
            routes    = [{ to = strcontains(var.network.gateway, ":") ? "::/0" : "0.0.0.0/0", via = var.network.gateway }]
            nameservers = merge(
              { addresses = var.network.dns_servers },
              var.network.search_domain == null ? {} : { search = [var.network.search_domain] },
            )
          }
        }
      }
    })
  }
}

module "host_init" {
  source   = "../host-init"
  for_each = var.nodes

  hostname        = each.key
  ssh_user        = var.ssh_user
  ssh_public_keys = var.ssh_public_keys
  mounts          = { for disk in local.disks[each.key] : disk.path => "/dev/m365-relay/${disk.use}" }
  disk_links      = { for disk in local.disks[each.key] : "m365-relay/${disk.use}" => "*-scsi-0:0:${disk.unit}:0" }
}

resource "vsphere_virtual_machine" "node" {
  for_each = var.nodes

  name             = "${var.name}-${each.key}"
  annotation       = "m365-relay, cluster ${var.name}, site ${var.site}. Before a snapshot or a move: relayctl pause."
  folder           = var.vsphere.folder
  resource_pool_id = data.vsphere_compute_cluster.relay.resource_pool_id
  datastore_id     = data.vsphere_datastore.node[each.value.datastore].id

  guest_id                   = data.vsphere_virtual_machine.template.guest_id
  firmware                   = data.vsphere_virtual_machine.template.firmware
  efi_secure_boot_enabled    = data.vsphere_virtual_machine.template.firmware == "efi"
  scsi_type                  = "pvscsi"
  num_cpus                   = var.size.cpus
  memory                     = var.size.memory_mib
  memory_reservation         = var.size.memory_mib
  enable_disk_uuid           = true
  sync_time_with_host        = false # NTP keeps the clock; a jump after a move would stop the node
  wait_for_guest_net_timeout = 10
  wait_for_guest_ip_timeout  = 0

  network_interface {
    network_id   = local.network_id
    adapter_type = "vmxnet3"
  }

  disk {
    label            = "system"
    unit_number      = 0
    size             = max(var.size.system_gib, data.vsphere_virtual_machine.template.disks[0].size)
    thin_provisioned = data.vsphere_virtual_machine.template.disks[0].thin_provisioned
  }

  dynamic "disk" {
    for_each = local.disks[each.key]

    content {
      label            = disk.value.use
      unit_number      = disk.value.unit
      size             = disk.value.gib
      thin_provisioned = var.thin_disks
      eagerly_scrub    = !var.thin_disks # whole from the start: no datastore that fills up, no first write that waits
    }
  }

  clone {
    template_uuid = data.vsphere_virtual_machine.template.id
  }

  extra_config = {
    "guestinfo.metadata"          = base64encode(local.metadata[each.key])
    "guestinfo.metadata.encoding" = "base64"
    "guestinfo.userdata"          = base64encode(module.host_init[each.key].user_data)
    "guestinfo.userdata.encoding" = "base64"
  }

  lifecycle {
    # A newer template is for new machines, and first-boot data is read once; neither may rebuild a host that has mail.
    ignore_changes = [clone, extra_config]
  }
}

resource "vsphere_compute_cluster_vm_anti_affinity_rule" "nodes" {
  count = length(var.nodes) > 1 ? 1 : 0

  name                = "${var.name}-${var.site}-separate"
  compute_cluster_id  = data.vsphere_compute_cluster.relay.id
  virtual_machine_ids = [for name, node in vsphere_virtual_machine.node : node.id]
  mandatory           = var.separate_hosts == "must"
}

check "separate_storage" {
  assert {
    condition     = length(var.nodes) == 1 || length(distinct(values(var.nodes)[*].datastore)) > 1
    error_message = "All nodes of ${var.site} are on one datastore: what takes it away takes every copy of accepted mail at this site."
  }
}
