mock_provider "azuread" {}

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
  vcenter          = { server = "vcenter.corp.example", user = "terraform", password = "example" }
  tenant_id        = "8f2c1a0e-0000-4000-8000-000000000000"
  certificate_file = "tests/certificate.pem"
  ssh_public_keys  = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
}

run "inventory_of_the_plan" {
  command = plan

  assert {
    condition     = toset(keys(yamldecode(output.ansible_inventory).all.children.relay_cluster.children.relay.hosts)) == toset(["relay-a", "relay-b", "relay-c"])
    error_message = "three relays"
  }

  assert {
    condition     = yamldecode(output.ansible_inventory).all.children.relay_cluster.vars.relay_addresses[0].driver == "netlink"
    error_message = "the address moves within the network"
  }
}
