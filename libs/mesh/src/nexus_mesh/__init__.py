"""What every service of the mesh shares: configuration, identity, TLS, policy, server, client."""

import os

# Read by gRPC's core when it is first imported. Children are started by exec, so its fork handlers only make noise.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
