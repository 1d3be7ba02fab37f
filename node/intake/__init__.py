"""The front door: listeners, SMTP dialogue, admission, hand-over to the spool."""
