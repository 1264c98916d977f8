"""From fused records to what a model trains on: split, normalisation and loading."""
