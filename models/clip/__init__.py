"""CLIP (Radford et al. 2021): pictures and texts in one space, in OpenAI's, LAION's and transformers' layouts."""
