"""Decides from recorded histories alone whether mail was lost, limits were kept, and nobody got it twice in silence."""
