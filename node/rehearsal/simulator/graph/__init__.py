"""Microsoft Graph as a sender of mail sees it: sendMail, drafts, Sent Items, message trace (m365 §1.1 F, §4.9)."""
