"""The only loops that move file bytes."""
