"""Where weights come from: the catalogue, embedded and local folders, checkpoints."""
