"""Helpers that lowerings of several families are made of: no operator is registered here."""
