"""Chains of small kernels that overlap: each begins while the one before it still runs.

On Hopper that is programmatic dependent launch. A kernel of a chain lets the next one begin as soon as all of
its own thread blocks have; the next one prepares what it can and then waits until the one before has ended
and its writes can be read. The first kernel of a chain is launched as any other, so all that was written
before the chain, by whatever kernel, may be read without a wait; what the chain itself writes may not.
"""

import tilelang.language as T


@T.macro
def lead() -> None:
    """Lets the next kernel of the chain begin."""
    T.pdl_trigger()


@T.macro
def follow(chained: bool) -> None:
    """Waits for the kernel before, and lets the next one begin, where this one is part of a chain.

    Args:
        chained: Whether it is.
    """
    if chained:
        T.pdl_trigger()
        T.pdl_sync()
