"""Who may: signing in, profiles, service principals and roles."""
