"""Sessions, election, budgets, ownership and addresses. No word of mail occurs in this package."""
