"""Finished runs handed on to other tools, each in the form that the tool itself defines.

`read_published` turns a run into rows and measures, once; `mlflow`, `tensorboard`, `github`,
`bencher` and `mlperf` each write them in one tool's form. A row that is not ok, or may not be
compared, has no speed in any of them.
"""
