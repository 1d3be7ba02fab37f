# Two relays in each of two data centres and a witness at a third site: a member of etcd and nothing else, so that
# either data centre may be lost whole. Five members: two, two, one; no site has most of them.
# Each site has its own vCenter.
provider "vsphere" {
  alias          = "dc1"
  vsphere_server = var.vcenters.dc1.server
  user           = var.vcenters.dc1.user
  password       = var.vcenters.dc1.password
}

provider "vsphere" {
  alias          = "dc2"
  vsphere_server = var.vcenters.dc2.server
  user           = var.vcenters.dc2.user
  password       = var.vcenters.dc2.password
}

provider "vsphere" {
  alias          = "witness"
  vsphere_server = var.vcenters.witness.server
  user           = var.vcenters.witness.user
  password       = var.vcenters.witness.password
}

locals {
  cluster     = "corp-mail"
  dns_servers = ["10.0.0.2", "10.0.0.3"]
}

module "dc1" {
  source    = "../../modules/vsphere-cluster"
  providers = { vsphere = vsphere.dc1 }

  name                   = local.cluster
  site                   = "dc1"
  part_of_larger_cluster = true

  vsphere = { datacenter = "dc1", compute_cluster = "prod", template = "debian-12-cloud" }
  network = { subnet = "10.1.0.0/24", gateway = "10.1.0.1", dns_servers = local.dns_servers, port_group = "relays" }
  nodes = {
    relay-a = { address = "10.1.0.11", datastore = "san-1" }
    relay-b = { address = "10.1.0.12", datastore = "san-2" }
  }
  virtual_addresses = { smtp-dc1 = { address = "10.1.0.10", prefer = "relay-a" } }
  ssh_public_keys   = var.ssh_public_keys
}

module "dc2" {
  source    = "../../modules/vsphere-cluster"
  providers = { vsphere = vsphere.dc2 }

  name                   = local.cluster
  site                   = "dc2"
  part_of_larger_cluster = true

  vsphere = { datacenter = "dc2", compute_cluster = "prod", template = "debian-12-cloud" }
  network = { subnet = "10.2.0.0/24", gateway = "10.2.0.1", dns_servers = local.dns_servers, port_group = "relays" }
  nodes = {
    relay-c = { address = "10.2.0.11", datastore = "san-1" }
    relay-d = { address = "10.2.0.12", datastore = "san-2" }
  }
  virtual_addresses = { smtp-dc2 = { address = "10.2.0.10" } }
  ssh_public_keys   = var.ssh_public_keys
}

module "witness" {
  source    = "../../modules/vsphere-cluster"
  providers = { vsphere = vsphere.witness }

  name                   = local.cluster
  site                   = "office"
  part_of_larger_cluster = true

  vsphere         = { datacenter = "office", compute_cluster = "small", template = "debian-12-cloud" }
  network         = { subnet = "10.3.0.0/24", gateway = "10.3.0.1", dns_servers = local.dns_servers, port_group = "servers" }
  nodes           = { etcd-w = { address = "10.3.0.11", datastore = "local-1", relay = false } }
  size            = { cpus = 1, memory_mib = 2048 }
  ssh_public_keys = var.ssh_public_keys
}

module "inventory" {
  source = "../../modules/inventory"

  cluster_name      = local.cluster
  nodes             = [module.dc1.nodes, module.dc2.nodes, module.witness.nodes]
  virtual_addresses = [module.dc1.virtual_addresses, module.dc2.virtual_addresses]
}
