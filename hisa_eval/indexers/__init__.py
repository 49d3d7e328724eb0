"""Indexers: who chooses the keys that each query attends to.

`base` holds the protocol, `registry` finds variants by name, `dsa`, `hisa` and `block_sparse` are the
built-in ones, `validate` checks inputs for any variant, and `conformance` is the suite that holds the laws.
Nothing here imports torch before a selection is asked for, except `base`, `validate` and `conformance`.
"""
