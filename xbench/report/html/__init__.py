"""A report of runs as one HTML file that works without a network, without script, and on paper.

`page` is pure: from documents and samples to text. Charts are SVG drawn beforehand, so the file
needs no script, its content policy allows none, and it is small. Templates are jinja's: it escapes
whatever is put into them, and altair brings it anyway.
"""

from xbench.report.html.assembly import page

__all__ = ["page"]
