"""TLS contexts of this node, for both directions. Knows files and versions, not mail."""
