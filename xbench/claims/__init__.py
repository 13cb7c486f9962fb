"""Claims that someone published, as a file, and whether they hold here.

::

    claim     what is claimed, and where it was published: plain data
    tree      YAML read strictly: each error names line and field
    parse     a file's text to its claims                shelf    names to files
    decide    an interval and a claim to a verdict       bars     what cannot be compared, and why
    settings  claims to the comparisons that decide them
    evidence  a run's document to the figure of a claim  doubts   what a verdict leaves open
    keeping   which run folder a comparison has, and whether it can be used again
    judge     a claim and its run to a judgement
    verify    all of it, one comparison after the other  document what `--json` writes
"""
