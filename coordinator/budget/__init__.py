"""Arithmetic of shared limits: permits, day counters, slots and arrival rates; pure, handed ``now``."""
