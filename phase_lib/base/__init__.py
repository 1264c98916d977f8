"""Ground floor: errors, file writing, provenance and progress. Imports nothing of ours."""
