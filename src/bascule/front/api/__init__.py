"""The REST interface of Azure Site Recovery, over the service layer: it translates, and decides nothing."""
