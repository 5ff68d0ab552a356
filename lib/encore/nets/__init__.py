"""Networks that several pages share, one module each."""
