"""Mail at rest: the contract and its two implementations."""
