"""GLIDE (Nichol et al. 2021): text transformer, U-Net, tokenizer, published checkpoints."""
