"""What this node knows of shared budgets and of its peers."""
