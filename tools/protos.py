"""Generates libs/protos from protos/, or with --check proves that what is committed is fresh."""

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
GENERATED = ROOT / "libs" / "protos" / "src" / "nexus"


def generate(target: Path) -> None:
    """Writes the generated tree below target/nexus."""
    protos = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    outputs = [f"--{kind}={target}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}", *outputs, *protos],
        check=True,
        cwd=SOURCES,
    )


def differences(fresh: Path, committed: Path) -> list[str]:
    """Paths that exist on one side only or differ."""
    sides = [
        {str(path.relative_to(root)) for path in root.rglob("*_pb2*.py*") if path.suffix in (".py", ".pyi")}
        for root in (fresh, committed)
    ]
    both = sides[0] & sides[1]
    _, mismatch, errors = filecmp.cmpfiles(fresh, committed, both, shallow=False)
    return sorted((sides[0] ^ sides[1]) | set(mismatch) | set(errors))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "nexus"
        if "--check" in sys.argv[1:]:
            stale = differences(fresh, GENERATED)
            for path in stale:
                print(f"stale: {path}  (run `make proto` and commit the result)")
            return 1 if stale else 0
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
