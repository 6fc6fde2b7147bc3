"""Arguments -> plan -> files."""
