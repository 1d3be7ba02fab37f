"""Tests what a configuration needs of Microsoft 365, end to end, and says in words what is missing."""
