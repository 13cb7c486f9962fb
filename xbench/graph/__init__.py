"""ONNX models as plain graphs, with all that is known before the first run worked out.

::

    read.py      a file or ModelProto → a light ModelProto and its weights, read once
    mapped.py    a file without the weights in it, which stay where they are
    bind.py      the shapes asked for → types of the graph's inputs
    types.py     what ONNX's shape inference says of one node
    fold.py      the value of a node whose inputs are known
    partial.py   the value of a shape vector of which some entries are known
    functions.py operators that ONNX or the model defines by simpler ones
    flow.py      nodes that hold graphs: branches, loops
    evaluate.py  one pass over the nodes with all of these → plain.Graph
    contrib/     types that operators outside ONNX give
    fusions/     patterns that exporters leave behind → single operators
    precision/   a file in float32 → a file in float16, bfloat16 or int8

No framework is imported here: importers for several frameworks share it. Import
`xbench.graph.evaluate` for the work; this package itself loads nothing.
"""
