"""The GRU recurrence, gates in the order reset, update, new; the reset gate acts after the matrix product."""
