"""Exchange Online and Entra as a sender sees them; strict, fast, and scriptable."""
