mock_provider "vsphere" {
  alias = "dc1"

  mock_data "vsphere_virtual_machine" {
    defaults = {
      firmware = "efi"
      disks    = [{ size = 8, thin_provisioned = true, eagerly_scrub = false, label = "disk0", unit_number = 0 }]
    }
  }
}

mock_provider "vsphere" {
  alias = "dc2"

  mock_data "vsphere_virtual_machine" {
    defaults = {
      firmware = "efi"
      disks    = [{ size = 8, thin_provisioned = true, eagerly_scrub = false, label = "disk0", unit_number = 0 }]
    }
  }
}

mock_provider "vsphere" {
  alias = "witness"

  mock_data "vsphere_virtual_machine" {
    defaults = {
      firmware = "efi"
      disks    = [{ size = 8, thin_provisioned = true, eagerly_scrub = false, label = "disk0", unit_number = 0 }]
    }
  }
}

variables {
  vcenters = {
    dc1     = { server = "vcenter.dc1.corp.example", user = "terraform", password = "example" }
    dc2     = { server = "vcenter.dc2.corp.example", user = "terraform", password = "example" }
    witness = { server = "vcenter.office.corp.example", user = "terraform", password = "example" }
  }
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
}

run "the_witness_votes_and_carries_no_mail" {
  command = plan

  assert {
    condition     = length(yamldecode(output.ansible_inventory).all.children.relay_cluster.children.etcd.hosts) == 5
    error_message = "five members"
  }

  assert {
    condition     = !contains(keys(yamldecode(output.ansible_inventory).all.children.relay_cluster.children.relay.hosts), "etcd-w")
    error_message = "the witness is no relay"
  }

  assert {
    condition     = toset([for one in yamldecode(output.ansible_inventory).all.children.relay_cluster.vars.relay_addresses : one.site]) == toset(["dc1", "dc2"])
    error_message = "an address for each data centre"
  }
}
