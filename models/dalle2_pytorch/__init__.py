"""LAION's diffusion prior of unCLIP, as trained with DALLE2-pytorch: a text's embedding to a picture's."""
