"""The leaky Elman recurrence h_t = (1 − α) h_{t-1} + α φ(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh)."""
