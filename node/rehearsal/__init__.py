"""The simulated Microsoft 365 and the load that rehearses against it."""
