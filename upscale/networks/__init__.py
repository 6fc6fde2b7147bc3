"""One `nn.Module` architecture per file."""
