locals {
  # Data disks by "node/use": the number is the LUN, by which the host finds the disk.
  uses = {
    spool = { lun = 0, gib = var.disks.spool_gib, path = "/var/lib/m365-relay" }
    etcd  = { lun = 1, gib = var.disks.etcd_gib, path = "/var/lib/etcd" }
  }
  node_uses = { for name, node in var.nodes : name => concat(node.relay ? ["spool"] : [], node.etcd ? ["etcd"] : []) }
  node_disks = merge([
    for name, uses in local.node_uses : { for use in uses : "${name}/${use}" => { node = name, use = use, zone = var.nodes[name].zone } }
  ]...)
}

resource "azurerm_network_interface" "node" {
  for_each = var.nodes

  name                           = "nic-${var.name}-${each.key}"
  location                       = local.place.location
  resource_group_name            = local.place.resource_group_name
  accelerated_networking_enabled = true
  tags                           = local.tags

  ip_configuration {
    name                          = "node"
    subnet_id                     = azurerm_subnet.zone[each.value.zone].id
    private_ip_address_allocation = "Static"
    private_ip_address            = each.value.address
  }
}

module "host_init" {
  source   = "../host-init"
  for_each = var.nodes

  hostname        = each.key
  ssh_user        = var.ssh_user
  ssh_public_keys = var.ssh_public_keys
  mounts          = { for use in local.node_uses[each.key] : local.uses[use].path => "/dev/disk/azure/scsi1/lun${local.uses[use].lun}" }
}

resource "azurerm_linux_virtual_machine" "node" {
  for_each = var.nodes

  name                            = "vm-${var.name}-${each.key}"
  computer_name                   = each.key
  location                        = local.place.location
  resource_group_name             = local.place.resource_group_name
  size                            = var.vm_size
  zone                            = each.value.zone
  network_interface_ids           = [azurerm_network_interface.node[each.key].id]
  admin_username                  = var.ssh_user
  disable_password_authentication = true
  custom_data                     = base64encode(module.host_init[each.key].user_data)
  encryption_at_host_enabled      = var.encryption_at_host
  secure_boot_enabled             = true
  vtpm_enabled                    = true
  allow_extension_operations      = false
  tags                            = local.tags

  admin_ssh_key {
    username   = var.ssh_user
    public_key = var.ssh_public_keys[0]
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.relay.id]
  }

  os_disk {
    name                   = "disk-${var.name}-${each.key}-os"
    caching                = "ReadWrite"
    storage_account_type   = "Premium_LRS"
    disk_encryption_set_id = var.disk_encryption_set_id
  }

  source_image_reference {
    publisher = var.image.publisher
    offer     = var.image.offer
    sku       = var.image.sku
    version   = var.image.version
  }

  boot_diagnostics {} # Azure's own storage: a console when the network is gone

  lifecycle {
    ignore_changes = [custom_data, admin_ssh_key] # read at the first boot alone; a change would build the machine anew
  }
}

resource "azurerm_managed_disk" "data" {
  # checkov:skip=CKV_AZURE_93: keys of your own are the variable disk_encryption_set_id; without them the platform's keys and encryption_at_host hold
  for_each = local.node_disks

  name                          = "disk-${var.name}-${replace(each.key, "/", "-")}"
  location                      = local.place.location
  resource_group_name           = local.place.resource_group_name
  zone                          = each.value.zone
  storage_account_type          = "Premium_LRS"
  create_option                 = "Empty"
  disk_size_gb                  = local.uses[each.value.use].gib
  public_network_access_enabled = false
  network_access_policy         = "DenyAll"
  disk_encryption_set_id        = var.disk_encryption_set_id
  tags                          = local.tags
}

resource "azurerm_virtual_machine_data_disk_attachment" "data" {
  for_each = local.node_disks

  managed_disk_id    = azurerm_managed_disk.data[each.key].id
  virtual_machine_id = azurerm_linux_virtual_machine.node[each.value.node].id
  lun                = local.uses[each.value.use].lun
  caching            = "None" # a sync must reach the disk
}
