"""Where programs sign in, and where clients learn where that is."""
