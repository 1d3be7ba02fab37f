variable "vcenters" {
  description = "The three sites' vCenters and who signs in. Ephemeral: neither in the state nor in a plan file."
  type = object({
    dc1     = object({ server = string, user = string, password = string })
    dc2     = object({ server = string, user = string, password = string })
    witness = object({ server = string, user = string, password = string })
  })
  nullable  = false
  sensitive = true
  ephemeral = true
}

variable "ssh_public_keys" {
  description = "Public keys of those who operate the hosts."
  type        = list(string)
  nullable    = false
}
