"""The best configuration under limits, without trying everything: what `xbench tune` does.

`space` lists the configurations, `evidence` keeps what was measured of each, `bounds` says what
those that were not can reach at most, `judgement` what all that allows to be said, `search` what to
measure next, and `workshop` measures it. `run` ties them together. See docs/tune.md.
"""
