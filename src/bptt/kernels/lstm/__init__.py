"""The LSTM recurrence, gates in the order input, forget, cell, output."""
