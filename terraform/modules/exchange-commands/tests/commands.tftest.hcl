variables {
  client_id = "1b7d2c3e-0000-4000-8000-000000000000"
  object_id = "2c8e3d4f-0000-4000-8000-000000000000"
  mailboxes = ["relay1@contoso.com", "relay2@contoso.com"]
}

run "scoped_by_default" {
  assert {
    condition     = strcontains(output.commands, "New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp' -App '1b7d2c3e-0000-4000-8000-000000000000' -CustomResourceScope 'm365-relay'")
    error_message = "the role ends at the scope"
  }

  assert {
    condition     = !strcontains(output.commands, "Mail.Send") && !strcontains(output.commands, "Add-MailboxPermission")
    error_message = "nothing is given that submission does not need"
  }
}

run "a_role_for_each_use" {
  variables {
    uses = ["submission", "graph", "read"]
  }

  assert {
    condition     = length(regexall("New-ManagementRoleAssignment .* -CustomResourceScope 'm365-relay'", output.commands)) == 3
    error_message = "three roles, each with the scope"
  }
}

run "names_are_literals" {
  variables {
    group = "relay's $boxes"
  }

  assert {
    condition     = strcontains(output.commands, "-Name 'relay''s $boxes' -Type Security")
    error_message = "a quote is doubled and nothing is expanded"
  }
}

run "mailbox_permissions_for_submission_alone" {
  command = plan

  variables {
    authorization = "mailbox_permissions"
    uses          = ["submission", "graph"]
  }
  expect_failures = [var.authorization]
}

run "refuses_what_is_no_mailbox" {
  command = plan

  variables {
    mailboxes = ["relay1"]
  }
  expect_failures = [var.mailboxes]
}

run "refuses_an_unknown_use" {
  command = plan

  variables {
    uses = ["imap"]
  }
  expect_failures = [var.uses]
}
