# The application as narrow as Microsoft allows. No run needs a tenant: the provider is a mock.
mock_provider "azuread" {
  mock_data "azuread_application_published_app_ids" {
    defaults = {
      result = {
        Office365ExchangeOnline = "00000002-0000-0ff1-ce00-000000000000"
        MicrosoftGraph          = "00000003-0000-0000-c000-000000000000"
      }
    }
  }

  mock_data "azuread_service_principal" {
    defaults = {
      client_id = "00000002-0000-0ff1-ce00-000000000000"
      object_id = "0f3a0000-0000-4000-8000-000000000000"
      app_role_ids = {
        "SMTP.SendAsApp"                = "11110000-0000-4000-8000-000000000000"
        "ExchangeMessageTrace.Read.All" = "22220000-0000-4000-8000-000000000000"
      }
    }
  }
}

variables {
  mailboxes    = ["relay1@contoso.com"]
  certificates = { first = { pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" } }
}

run "no_permission_in_entra_by_default" {
  command = plan

  assert {
    condition     = length(azuread_application.relay.required_resource_access) == 0 && length(azuread_app_role_assignment.consent) == 0
    error_message = "a consent would reach every mailbox of the tenant"
  }

  assert {
    condition     = length(output.tenant_wide_permissions) == 0
    error_message = "nothing is tenant-wide"
  }

  assert {
    condition     = azuread_application.relay.sign_in_audience == "AzureADMyOrg"
    error_message = "this directory only"
  }
}

run "send_as_app_is_looked_up_by_name" {
  command = plan

  variables {
    authorization = "mailbox_permissions"
  }

  assert {
    condition     = azuread_app_role_assignment.consent["exchange"].app_role_id == "11110000-0000-4000-8000-000000000000"
    error_message = "the role's id comes from the tenant"
  }

  assert {
    condition     = output.tenant_wide_permissions == tolist(["SMTP.SendAsApp"])
    error_message = "SMTP.SendAsApp and nothing else"
  }
}

run "message_trace_only_when_asked_for" {
  command = plan

  variables {
    message_trace = true
  }

  assert {
    condition     = output.tenant_wide_permissions == tolist(["ExchangeMessageTrace.Read.All"])
    error_message = "the trace alone"
  }
}

run "two_certificates_overlap" {
  command = plan

  variables {
    certificates = {
      first  = { pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" }
      second = { pem = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n", end_date = "2027-06-30T00:00:00Z" }
    }
  }

  assert {
    condition     = length(azuread_application_certificate.relay) == 2
    error_message = "the old one holds while the new one is rolled out"
  }
}

run "federation_instead_of_a_certificate" {
  command = plan

  variables {
    certificates = {}
    federations  = { nodes = { issuer = "https://login.corp.example", subject = "relay" } }
  }

  assert {
    condition     = azuread_application_federated_identity_credential.relay["nodes"].audiences == tolist(["api://AzureADTokenExchange"])
    error_message = "the audience Entra expects"
  }
}

run "refuses_an_application_without_proof" {
  command = plan

  variables {
    certificates = {}
  }
  expect_failures = [var.federations]
}

run "refuses_a_private_key" {
  command = plan

  variables {
    certificates = { first = { pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n" } }
  }
  expect_failures = [var.certificates]
}

run "refuses_a_plain_http_issuer" {
  command = plan

  variables {
    federations = { nodes = { issuer = "http://login.corp.example", subject = "relay" } }
  }
  expect_failures = [var.federations]
}

run "refuses_a_moment_that_is_none" {
  command = plan

  variables {
    certificates = { first = { pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", end_date = "30 June 2027" } }
  }
  expect_failures = [var.certificates]
}
