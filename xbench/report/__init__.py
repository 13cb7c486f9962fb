"""A run as a reader sees it: terminal, markdown, csv and the JSON document.

`view` decides what is said, once, and the writers only draw it.
"""
