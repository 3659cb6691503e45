"""Machines of other people's hypervisors: what runs, its disks, and all of them frozen at one instant."""
