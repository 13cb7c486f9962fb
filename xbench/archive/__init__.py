"""Finished runs: read, checked, listed, and carried from one machine to another.

Run folders are the truth. What stands beside them, the index, can be thrown away at any time.
"""
