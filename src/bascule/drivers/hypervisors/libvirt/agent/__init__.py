"""Guests of libvirt frozen by their agent, under a watch that thaws."""
