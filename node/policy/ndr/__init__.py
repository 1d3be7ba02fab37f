"""Reads reports of failed delivery (RFC 3464) as hostile text: bounded in depth, parts, fields, time and memory."""
