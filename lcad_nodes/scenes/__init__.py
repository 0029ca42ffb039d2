"""Made-up scenes with a known truth, for training and for measuring, and what they are made of."""
