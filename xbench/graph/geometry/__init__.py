"""Arithmetic over axes of space that importers share; it imports no framework."""
