variable "client_id" {
  description = "Client id of the application or managed identity."
  type        = string
  nullable    = false
}

variable "object_id" {
  description = "Object id of the enterprise application (the service principal), not of the registration."
  type        = string
  nullable    = false
}

variable "display_name" {
  description = "Name Exchange shows for the application."
  type        = string
  default     = "m365-relay"
  nullable    = false
}

variable "mailboxes" {
  description = "Service mailboxes the relay logs in as, and those whose reports it reads."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.mailboxes) > 0
    error_message = "mailboxes: name one at least; without a mailbox the application needs no role."
  }

  validation {
    condition     = alltrue([for mailbox in var.mailboxes : can(regex("^[^\\s@'\"]+@[^\\s@'\"]+\\.[^\\s@'\"]+$", mailbox))])
    error_message = "mailboxes: addresses such as \"relay1@contoso.com\"; one of them is none."
  }

  validation {
    condition     = length(distinct([for mailbox in var.mailboxes : lower(mailbox)])) == length(var.mailboxes)
    error_message = "mailboxes: a mailbox is named twice."
  }
}

variable "uses" {
  description = "What the relay does in Exchange: submission (SMTP), graph (sends by Graph), read (reads reports, looks for lost mail)."
  type        = set(string)
  default     = ["submission"]
  nullable    = false

  validation {
    condition     = length(var.uses) > 0 && alltrue([for use in var.uses : contains(["submission", "graph", "read"], use)])
    error_message = "uses: one or more of submission, graph, read."
  }
}

variable "authorization" {
  description = "scoped_roles: roles on one group of mailboxes, no permission in Entra. mailbox_permissions: SMTP.SendAsApp in Entra and full access mailbox by mailbox."
  type        = string
  default     = "scoped_roles"
  nullable    = false

  validation {
    condition     = contains(["scoped_roles", "mailbox_permissions"], var.authorization)
    error_message = "authorization: scoped_roles or mailbox_permissions."
  }

  validation {
    condition     = var.authorization == "scoped_roles" || length(setsubtract(var.uses, ["submission"])) == 0
    error_message = "authorization: mailbox_permissions serves submission alone; Graph permissions in Entra reach every mailbox of the tenant. Take scoped_roles."
  }
}

variable "group" {
  description = "Mail-enabled security group that holds the mailboxes; its members are all the application may touch."
  type        = string
  default     = "m365-relay-mailboxes"
  nullable    = false
}

variable "scope" {
  description = "Name of the management scope in Exchange."
  type        = string
  default     = "m365-relay"
  nullable    = false
}
