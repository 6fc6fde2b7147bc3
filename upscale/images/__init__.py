"""Files <-> pixels: formats, metadata, alpha, colour spaces, resizing, atomic writing."""
