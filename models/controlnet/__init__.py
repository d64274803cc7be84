"""ControlNet and Prompt Diffusion: trained copies of a denoiser's encoder that add to its skips."""
