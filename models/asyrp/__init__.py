"""Asyrp (Kwon et al. 2023): pixel diffusion models, directions in their bottleneck, and views that edit there."""
