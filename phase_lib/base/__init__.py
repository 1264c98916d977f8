"""Ground floor: errors, file writing, provenance and progress. It imports no other room."""
