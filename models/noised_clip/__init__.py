"""GLIDE's noised CLIP (Nichol et al. 2021, sec. 2.3): the similarity of a noised picture and a text."""
