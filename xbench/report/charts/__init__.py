"""Charts of runs: what is drawn is decided here, and how it looks in `look`.

Each module returns figures: a title, how to read it, the table behind it, and how to draw it. What
has no data is told in a sentence instead. Nothing here reads a file or opens a connection.
"""
