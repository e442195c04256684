"""The images the check uses, made without a container registry: a Debian of our own, and etcd on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.containers.podman import REPOSITORY, Podman

__all__ = ["BUILD_FLAGS", "base", "etcd"]

RELEASE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
BASE = f"localhost/nexus-e2e-base:{RELEASE}"
ETCD = "localhost/nexus-e2e/etcd:latest"
NOT_NEEDED = ("./dev/*", "./proc/*", "./sys/*", "./var/cache/apt/*", "./var/lib/apt/lists/*")
CERTIFICATES = "/etc/ssl/certs"
# The builder trusts whom this machine trusts; the images do not.
BUILD_FLAGS = (
    "--isolation=chroot",
    "--format=docker",
    f"--volume={CERTIFICATES}:{CERTIFICATES}:ro",
)


def base(podman: Podman) -> str:
    """The base image's name. Made once, by debootstrap."""
    if podman.succeeds("image", "exists", BASE):
        return BASE
    print("Making the base image; this takes some minutes, once ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="nexus-base-") as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        make = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(root)]
        podman.command(make, timeout=900)
        excluded = [f"--exclude={pattern}" for pattern in NOT_NEEDED]
        podman.command(
            ["tar", "--create", f"--file={archive}", f"--directory={root}", *excluded, "."], timeout=120
        )
        podman.run("import", str(archive), BASE, timeout=120)
    return BASE


def etcd(podman: Podman, base_image: str) -> str:
    """The name of an image with etcd from the package index."""
    folder = REPOSITORY / "tools" / "containers"
    what = [f"--build-arg=BASE_IMAGE={base_image}", f"--file={folder / 'etcd.Dockerfile'}", f"--tag={ETCD}"]
    podman.run("build", "--quiet", *BUILD_FLAGS, *what, str(folder), timeout=300)
    return ETCD
