"""CLIP text encoders on their own, as Stable Diffusion and unCLIP carry them beside their denoisers."""
