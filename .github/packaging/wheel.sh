#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, and runs what it installed.
#   wheel.sh OUT [OPTIONS OF MATURIN…]   such as `wheel.sh dist --release`
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
shift
cd "$(dirname "$0")"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
python=$(command -v python3 || command -v python)
"$python" -m venv "$temporary/build"
bin=bin
# Windows has another name for the folder.
[ -d "$temporary/build/bin" ] || bin=Scripts
"$temporary/build/$bin/pip" install --quiet 'maturin>=1.7,<2'
"$temporary/build/$bin/maturin" build --out "$temporary/dist" "$@"

"$python" -m venv "$temporary/fresh"
"$temporary/fresh/$bin/pip" install --quiet --no-index "$temporary"/dist/s3pull-*.whl
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' ../../Cargo.toml)
"$temporary/fresh/$bin/s3pull" --version | grep -F "s3pull $version"
mv "$temporary"/dist/s3pull-*.whl "$out"
