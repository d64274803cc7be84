"""glidewire: GLIDE, unCLIP, Paella and latent diffusion as typed nodes, and one small runtime that runs the graphs."""
