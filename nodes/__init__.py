"""What a user wires: one file per component family, each node a declaration and a few lines."""
