"""First stages of latent diffusion: pictures to latents or tokens and back (KL, VQ and Gumbel autoencoders)."""
