"""What the simulated ports stand for: submission, a tenant's MX, High Volume Email, ACS, or a plain smart host."""
