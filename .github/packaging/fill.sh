#!/usr/bin/env bash
# Fills the templates beside this file for a release, from its archives.
#   fill.sh REPOSITORY VERSION ARCHIVES OUT   such as `fill.sh https://host/owner/s3pull 1.2.3 dist dist`
set -euo pipefail
repository=$1 version=$2 archives=$3 out=$4
here=$(dirname "$0")
description=$(sed -n 's/^description = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")
for template in s3pull.rb meta.yaml; do
  text=$(<"$here/$template")
  text=${text//@REPOSITORY@/$repository}
  text=${text//@VERSION@/$version}
  text=${text//@DESCRIPTION@/$description}
  while [[ $text =~ @SHA256:([a-z0-9_-]+)@ ]]; do
    target=${BASH_REMATCH[1]}
    sum=$(sha256sum "$archives/s3pull-$version-$target.tar.gz" | cut -d ' ' -f 1)
    text=${text//@SHA256:$target@/$sum}
  done
  # The first line speaks of the template.
  printf '%s\n' "${text#*$'\n'}" >"$out/$template"
  if grep -n '@[A-Z0-9]*[:@]' "$out/$template"; then
    echo "fill.sh: $template has words that nothing fills" >&2
    exit 1
  fi
done
