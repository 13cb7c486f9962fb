"""Lowerings, one file an operator family; `registry` loads them."""
