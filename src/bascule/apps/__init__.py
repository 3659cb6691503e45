"""One main per process: read settings, build drivers, wire, run."""
