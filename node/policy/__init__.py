"""Every decision about mail; no input, no output."""
