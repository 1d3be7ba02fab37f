"""A sender that remembers every answer it got, and the comparison of its ledger with what arrived."""
