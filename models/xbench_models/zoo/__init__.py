"""The architectures that `xbench models` lists, with healthy seeded weights."""
