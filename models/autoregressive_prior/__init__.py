"""unCLIP's autoregressive prior (Ramesh et al. 2022, sec. 2.2): a picture's embedding as a sequence of codes."""
