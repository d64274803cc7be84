"""unCLIP (Ramesh et al. 2022) as Karlo, Kandinsky and Stable unCLIP published it: priors, decoders, upsamplers."""
