"""Procurement: from measured rows and dated prices to how many devices, at what cost, and which."""
