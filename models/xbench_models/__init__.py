"""Recipes that build and export known architectures with seeded, healthy weights."""
