"""Reading weights: one file per published layout, all into one canonical naming."""
