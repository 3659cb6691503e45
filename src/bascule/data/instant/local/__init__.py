"""What instant recovery keeps on a local disk: files whose order of writes is their durability."""
