"""Books: whether they loop, what they cost, and whether a killed one is the same."""
