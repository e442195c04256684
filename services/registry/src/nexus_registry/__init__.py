"""Who is where: instances, backends and models, kept in etcd."""
