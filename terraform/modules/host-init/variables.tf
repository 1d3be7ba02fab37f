variable "hostname" {
  description = "Host name; the relay finds its own node by it."
  type        = string
  nullable    = false
}

variable "ssh_user" {
  description = "User made on the host, with sudo and without a password."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,30}$", var.ssh_user)) && !contains(["root", "admin", "administrator"], var.ssh_user)
    error_message = "ssh_user: a plain user name such as \"relayadmin\", and not root or admin."
  }
}

variable "ssh_public_keys" {
  description = "Keys that may sign in as this user. Public keys only: what is given here is readable on the host and in the state."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.ssh_public_keys) > 0 && alltrue([for key in var.ssh_public_keys : can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\\.com) [A-Za-z0-9+/=]+", key))])
    error_message = "ssh_public_keys: one or more public keys as in ~/.ssh/id_ed25519.pub, never a private key."
  }
}

variable "mounts" {
  description = "Directories on disks of their own: path to device. A blank disk gets a file system, any other is mounted as it is."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "disk_links" {
  description = "Links below /dev that udev makes for disks: name to pattern of ID_PATH, for machines whose disks have no stable name."
  type        = map(string)
  default     = {}
  nullable    = false
}
