"""Picture -> Picture: cascade stages, tiles, device and precision, colour."""
