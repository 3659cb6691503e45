"""What goes over wires."""
