"""The store in a browser, on this machine alone.

`pages` turns what the index knows into HTML; `server` answers a browser, and nobody else. The page
of a run is the one that ``xbench report`` writes.
"""
