"""Ways by which people hear of events: mail over SMTP, and addresses that are posted to."""
