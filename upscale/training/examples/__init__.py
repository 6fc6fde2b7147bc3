"""What a step trains on: crops of photographs, and how they are made small and poor."""
