"""The certificate authority: a root, an issuing CA under it, and leaves for the members of the mesh."""
