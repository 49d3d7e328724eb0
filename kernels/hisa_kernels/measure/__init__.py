"""How long operators take: inputs, a correctness gate, a clock, and the floors that physics sets.

Nothing here is needed to use an operator. `kernels/benchmarks` and `hisa-eval latency` both stand on it, so
that a peer and our own kernel are held to one gate and one clock.
"""
