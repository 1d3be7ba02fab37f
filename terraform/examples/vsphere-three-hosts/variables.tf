variable "vcenter" {
  description = "vCenter and who signs in. Ephemeral: neither in the state nor in a plan file; give it by TF_VAR_vcenter."
  type        = object({ server = string, user = string, password = string })
  nullable    = false
  sensitive   = true
  ephemeral   = true
}

variable "tenant_id" {
  description = "Directory (tenant) id of the organisation in Entra."
  type        = string
  nullable    = false
}

variable "certificate_file" {
  description = "Certificate the relay signs in with (PEM, without its key). The key is made on a node and never comes here."
  type        = string
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Public keys of those who operate the hosts."
  type        = list(string)
  nullable    = false
}
