"""The composition root: sees every room, starts and stops them in order, decides nothing about mail."""
