variable "display_name" {
  description = "Name of the application in Entra and in Exchange."
  type        = string
  default     = "m365-relay"
  nullable    = false

  validation {
    condition     = length(trimspace(var.display_name)) > 0 && length(var.display_name) <= 120
    error_message = "display_name: 1 to 120 characters."
  }
}

variable "owners" {
  description = "Object ids of those who may change the application. Keep them few: an owner can add a credential and send as the mailboxes."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.owners : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "owners: object ids such as \"1b7d2c3e-0000-4000-8000-000000000000\"."
  }
}

variable "certificates" {
  description = "Certificates (PEM, without their keys) the relay may sign in with, by a name of yours; two at a time while one replaces the other. end_date: RFC 3339, not after the certificate's own."
  type = map(object({
    pem      = string
    end_date = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in var.certificates : !strcontains(one.pem, "PRIVATE KEY")])
    error_message = "certificates: a private key was given. It would lie in the state for good: give the certificate alone and treat the key as lost."
  }

  validation {
    condition     = alltrue([for one in var.certificates : can(regex("^-----BEGIN CERTIFICATE-----\\s", trimspace(one.pem)))])
    error_message = "certificates: pem begins with -----BEGIN CERTIFICATE-----."
  }

  validation {
    condition     = alltrue([for one in var.certificates : one.end_date == null ? true : can(timeadd(one.end_date, "0s"))])
    error_message = "certificates: end_date is a moment such as \"2027-06-30T00:00:00Z\"."
  }
}

variable "federations" {
  description = "Identities whose tokens stand for the application (workload identity federation), by a name of yours: issuer and subject exactly as in the token."
  type = map(object({
    issuer   = string
    subject  = string
    audience = optional(string, "api://AzureADTokenExchange")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in var.federations : can(regex("^https://[^\\s]+$", one.issuer)) && one.subject != ""])
    error_message = "federations: issuer begins with https:// and subject is not empty; both are compared letter by letter."
  }

  validation {
    condition     = length(var.certificates) + length(var.federations) > 0
    error_message = "federations: the application has neither certificate nor federation and could not sign in. A client secret is not offered: it would lie in the state."
  }
}

variable "mailboxes" {
  description = "Service mailboxes the relay logs in as, and those whose reports it reads."
  type        = list(string)
  nullable    = false
}

variable "uses" {
  description = "What the relay does in Exchange: submission (SMTP), graph (sends by Graph), read (reads reports, looks for lost mail)."
  type        = set(string)
  default     = ["submission"]
  nullable    = false
}

variable "authorization" {
  description = "scoped_roles (as relayctl m365 setup says): no permission in Entra, roles on one group in Exchange. mailbox_permissions: SMTP.SendAsApp consented, which opens no mailbox by itself, and full access mailbox by mailbox."
  type        = string
  default     = "scoped_roles"
  nullable    = false
}

variable "message_trace" {
  description = "Consent to ExchangeMessageTrace.Read.All: who wrote to whom in the whole tenant. It cannot be scoped."
  type        = bool
  default     = false
  nullable    = false
}
