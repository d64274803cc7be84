"""Typed nodes, graphs, static checks, plans, cache and execution; knows tensors and keys, no diffusion."""
