"""What recovered machines are to be: asked for, kept until it is needed, and worked out (R-FO-4)."""
