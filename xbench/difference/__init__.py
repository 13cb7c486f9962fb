"""Two runs against each other: what compares, by how much it changed, and whether that is real.

Between two runs lies more than between two rounds of one: another hour, another layout of memory,
another neighbour. How far runs scatter that did not change is what decides here, and it comes from
runs that were made before, never from the samples of one.
"""
