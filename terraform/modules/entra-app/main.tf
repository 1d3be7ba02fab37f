locals {
  send_as = var.authorization == "mailbox_permissions" ? { exchange = "SMTP.SendAsApp" } : {}
  trace   = var.message_trace ? { graph = "ExchangeMessageTrace.Read.All" } : {}

  # Permissions in Entra: none in the normal case, since Exchange gives the roles, on one group of mailboxes.
  permissions = merge(local.send_as, local.trace)
  published = {
    exchange = "Office365ExchangeOnline"
    graph    = "MicrosoftGraph"
  }
}

data "azuread_application_published_app_ids" "well_known" {
  count = length(local.permissions) > 0 ? 1 : 0
}

# Role ids are looked up by name in the tenant, never written down here.
data "azuread_service_principal" "api" {
  for_each = local.permissions

  client_id = data.azuread_application_published_app_ids.well_known[0].result[local.published[each.key]]
}

resource "azuread_application" "relay" {
  display_name            = var.display_name
  sign_in_audience        = "AzureADMyOrg"
  owners                  = var.owners
  prevent_duplicate_names = true

  dynamic "required_resource_access" {
    for_each = local.permissions

    content {
      resource_app_id = data.azuread_service_principal.api[required_resource_access.key].client_id

      resource_access {
        id   = data.azuread_service_principal.api[required_resource_access.key].app_role_ids[required_resource_access.value]
        type = "Role"
      }
    }
  }
}

resource "azuread_service_principal" "relay" {
  client_id = azuread_application.relay.client_id
  owners    = var.owners

  feature_tags {
    hide = true # no tile for people: nobody signs in to it
  }
}

resource "azuread_app_role_assignment" "consent" {
  for_each = local.permissions

  app_role_id         = data.azuread_service_principal.api[each.key].app_role_ids[each.value]
  principal_object_id = azuread_service_principal.relay.object_id
  resource_object_id  = data.azuread_service_principal.api[each.key].object_id
}

resource "azuread_application_certificate" "relay" {
  for_each = var.certificates

  application_id = azuread_application.relay.id
  type           = "AsymmetricX509Cert"
  encoding       = "pem"
  value          = each.value.pem
  end_date       = each.value.end_date
}

resource "azuread_application_federated_identity_credential" "relay" {
  # checkov:skip=CKV_AZURE_249: issuer and subject are the caller's; the rule is about GitHub Actions, which relays do not run in
  for_each = var.federations

  application_id = azuread_application.relay.id
  display_name   = each.key
  description    = "m365-relay"
  issuer         = each.value.issuer
  subject        = each.value.subject
  audiences      = [each.value.audience]
}

module "exchange" {
  source = "../exchange-commands"

  client_id     = azuread_application.relay.client_id
  object_id     = azuread_service_principal.relay.object_id
  display_name  = var.display_name
  mailboxes     = var.mailboxes
  uses          = var.uses
  authorization = var.authorization
}
