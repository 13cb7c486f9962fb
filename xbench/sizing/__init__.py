"""Sizing: which small devices hold a load, how many of them, and how sure that is.

A host that is capped like a device is not that device. So three kinds of statement are kept apart
all the way: what was *measured* here under caps, what is *computed* from a device's own figures
(a floor, which nothing can beat), and what is *modelled*: a range for the device, scaled from here.

- `groups` puts profiles together that are the same caps on this host.
- `measure` runs them, `rows` reads what came out.
- `least` computes what surely cannot be beaten, `transfer` scales, `judge` decides.
- `answer` is the whole, `document` its JSON.
"""
