"""Everything that becomes a picture."""
