"""Latent diffusion and Stable Diffusion: denoisers of latents and what conditions them."""
