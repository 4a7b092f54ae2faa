"""EcoTaxa: what it takes, as data; packages written, checked and read back."""
