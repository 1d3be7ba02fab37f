# Three relays on three ESXi hosts of one data centre, one virtual address in their own network.
provider "vsphere" {
  vsphere_server = var.vcenter.server
  user           = var.vcenter.user
  password       = var.vcenter.password
}

provider "azuread" {
  tenant_id = var.tenant_id
}

locals {
  cluster = "corp-mail"
}

module "cluster" {
  source = "../../modules/vsphere-cluster"

  name = local.cluster
  site = "dc1"

  vsphere = {
    datacenter      = "dc1"
    compute_cluster = "prod"
    template        = "debian-12-cloud"
    folder          = "mail"
  }
  network = {
    subnet             = "10.1.0.0/24"
    gateway            = "10.1.0.1"
    dns_servers        = ["10.1.0.2", "10.1.0.3"]
    search_domain      = "corp.example"
    port_group         = "relays"
    distributed_switch = "prod"
    vlan_id            = 110
  }
  nodes = {
    relay-a = { address = "10.1.0.11", datastore = "san-1" }
    relay-b = { address = "10.1.0.12", datastore = "san-2" }
    relay-c = { address = "10.1.0.13", datastore = "san-3" }
  }
  virtual_addresses = {
    smtp = { address = "10.1.0.10", prefer = "relay-a" }
  }
  ssh_public_keys = var.ssh_public_keys
}

module "app" {
  source = "../../modules/entra-app"

  certificates = { first = { pem = file(var.certificate_file) } }
  mailboxes    = ["relay1@contoso.com", "relay2@contoso.com"]
}

module "inventory" {
  source = "../../modules/inventory"

  cluster_name      = local.cluster
  nodes             = [module.cluster.nodes]
  virtual_addresses = [module.cluster.virtual_addresses]
  ssh_user          = module.cluster.ssh_user
}
