"""The demo: a synthetic data set and a tiny base model that a laptop's CPU fine-tunes in a minute."""
