"""The administration HTTP interface and its health pages."""
