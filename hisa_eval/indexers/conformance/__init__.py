"""The laws that every indexer keeps, as a test suite for anyone's.

`pytest --pyargs hisa_eval.indexers.conformance --indexer NAME[:option=value,…]` runs it; without `--indexer`
it runs on every registered one. `laws` holds the checks as plain functions, `cases` the inputs, `oracle` a
naive selection in float64 that shares no code with the operators.
"""
