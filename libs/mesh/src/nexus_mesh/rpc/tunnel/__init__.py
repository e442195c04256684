"""Many calls on one two-way stream: what nexus.mesh.v1.TunnelService promises, for both of its ends."""
