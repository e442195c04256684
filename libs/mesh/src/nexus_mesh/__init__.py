"""What every service of the mesh shares: configuration, identity, TLS, policy, server, client."""
