"""The second copy of everything accepted: what it travels in, what keeps it on another node's disk, who sends it."""
