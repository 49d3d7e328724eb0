"""Peers side by side: DeepGEMM, the public TileLang pipeline, torch, and our own kernels, behind one gate."""
