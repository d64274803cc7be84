"""Paella: token predictors of all three generations, their image prior, and the third one's VQGAN."""
