terraform {
  required_version = ">= 1.10, < 2.0"

  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = ">= 3.0, < 4.0"
    }
    vsphere = {
      source  = "vmware/vsphere"
      version = ">= 2.13, < 3.0"
    }
  }
}
