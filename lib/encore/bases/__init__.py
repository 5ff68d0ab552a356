"""Shared bases: small training set-ups that several pages train or simulate on. One module per base."""
