"""How near a row comes to what this machine allows: the roofline.

Williams, Waterman and Patterson 2009 (doi:10.1145/1498765.1498785): no program is faster than its
operations over the machine's FLOP/s, nor than its bytes over the machine's bandwidth.

- `bound` has the formulas, and knows nothing of machines or models.
- `work` counts what a model cannot do without: operations, and bytes.
- `caches` tells what of these bytes may stay near the cores from one inference to the next.
- `kernels` runs in a process of its own and reaches for the machine's limits with NumPy.
- `products` does so with the backends, on a model that is nothing but matrix products.
- `probe` asks both and keeps the best, as `ceilings`.
- `row` puts a row's latency beside them.
"""
