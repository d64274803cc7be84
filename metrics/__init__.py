"""How results are measured: pure functions on pictures and on embeddings."""
