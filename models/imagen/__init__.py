"""DeepFloyd IF, a published Imagen (Saharia et al. 2022): two pixel diffusion stages, and the T5 text encoder."""
