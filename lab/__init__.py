"""Two sites on one machine: builds disks and guests, starts servers, kills things."""
