"""Indexers inside a serving engine: a plug-in for vLLM, and the command that starts it.

Nothing here is imported by the rest of the harness but by `hisa-eval serve`; vLLM finds `plugin.register`
through the entry-point group `vllm.general_plugins`.
"""
