variable "vm_size" {
  description = "Size of a host; two cores and 8 GiB carry far more than Microsoft takes."
  type        = string
  default     = "Standard_D2s_v5"
  nullable    = false

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+[a-z]*s[a-z]*_v[2-5]$", var.vm_size))
    error_message = "vm_size: a size with premium disks (an s after the cores) of generation 2 to 5, such as Standard_D2s_v5. Later ones name their disks differently."
  }
}

variable "image" {
  description = "Image of the hosts; it needs cloud-init and systemd 249 or later."
  type = object({
    publisher = string
    offer     = string
    sku       = string
    version   = optional(string, "latest")
  })
  default  = { publisher = "Debian", offer = "debian-12", sku = "12-gen2" }
  nullable = false
}

variable "disks" {
  description = "Sizes in GiB. Azure's premium disks are as fast as they are large: 128 GiB gives 500 IOPS, and every 250 waits for the disk."
  type = object({
    spool_gib = optional(number, 128)
    etcd_gib  = optional(number, 32)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.disks.spool_gib >= 32 && var.disks.etcd_gib >= 16
    error_message = "disks: spool_gib is 32 or more, etcd_gib 16 or more."
  }
}

variable "disk_encryption_set_id" {
  description = "Encrypts disks with a key of yours instead of Microsoft's."
  type        = string
  default     = null
}

variable "encryption_at_host" {
  description = "Encrypts caches and temporary disks too. The subscription needs the feature Microsoft.Compute/EncryptionAtHost once."
  type        = bool
  default     = true
  nullable    = false
}

variable "ssh_user" {
  description = "User Ansible signs in as."
  type        = string
  default     = "relayadmin"
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Keys that may sign in as this user; public keys only."
  type        = list(string)
  nullable    = false
}
