output "commands" {
  description = "Commands for Exchange Online PowerShell, one a line, in order."
  value = join("\n", concat(
    local.principal,
    var.authorization == "scoped_roles" ? local.scoped : local.by_mailbox,
    local.smtp_auth,
    ["# grants hold after 15 to 60 minutes; then: relayctl m365 check"],
  ))
}
