# Exchange Online has no Terraform provider of Microsoft's. These are the commands `relayctl m365 setup` prints, with the
# ids filled in; a test compares the two.
locals {
  # A PowerShell literal: in single quotes nothing is expanded, a quote is doubled.
  literal = {
    for name, text in {
      client_id    = var.client_id
      object_id    = var.object_id
      display_name = var.display_name
      group        = var.group
      scope        = var.scope
    } : name => "'${replace(text, "'", "''")}'"
  }
  mailboxes = [for mailbox in var.mailboxes : "'${replace(mailbox, "'", "''")}'"]

  roles = [
    for use, role in {
      submission = "Application SMTP.SendAsApp"
      graph      = "Application Mail.Send"
      read       = "Application Mail.Read"
    } : role if contains(var.uses, use)
  ]

  principal = [
    "Connect-ExchangeOnline",
    "New-ServicePrincipal -AppId ${local.literal.client_id} -ObjectId ${local.literal.object_id} -DisplayName ${local.literal.display_name}",
  ]

  scoped = concat(
    [
      "New-DistributionGroup -Name ${local.literal.group} -Type Security -MemberJoinRestriction Closed -Members ${join(",", local.mailboxes)}",
      "$group = (Get-DistributionGroup ${local.literal.group}).DistinguishedName.Replace(\"'\", \"''\")",
      "New-ManagementScope -Name ${local.literal.scope} -RecipientRestrictionFilter \"MemberOfGroup -eq '$group'\"",
    ],
    [for role in local.roles : "New-ManagementRoleAssignment -Role '${role}' -App ${local.literal.client_id} -CustomResourceScope ${local.literal.scope}"],
    [
      "# the first must say InScope True, any other mailbox False:",
      "Test-ServicePrincipalAuthorization ${local.literal.client_id} -Resource ${local.mailboxes[0]}",
    ],
  )

  by_mailbox = [
    for mailbox in local.mailboxes :
    "Add-MailboxPermission -Identity ${mailbox} -User ${local.literal.object_id} -AccessRights FullAccess"
  ]

  smtp_auth = !contains(var.uses, "submission") ? [] : concat(
    ["# the tenant's own switch stays off; the mailbox's wins over it:"],
    [for mailbox in local.mailboxes : "Set-CASMailbox -Identity ${mailbox} -SmtpClientAuthenticationDisabled $false"],
  )
}
