#!/usr/bin/env bash
# The offline bundle: made, refused where it does not fit, unpacked as an ordinary user; then the program is configured,
# built and run on two ranks from it, with the system's own MPI and HDF5 hidden.
# Skips the part that fetches packages where none can be fetched, and the hiding where no mount namespace can be had.
set -euo pipefail
unset LD_PRELOAD # of the build, which an ordinary user may not read
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/specrej-bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAIL: $*" >&2
    [ ! -s log ] || tail -n 20 log | sed 's/^/  | /' >&2
    exit 1
}

# refused WORDS DIR: --from must fail, with these words, and leave nothing behind.
refused() {
    ! bash "$root/setup.sh" --from "$2" nowhere >log 2>&1 || fail "$2 was accepted"
    grep -q "$1" log || fail "$2: the message lacks '$1'"
    [ ! -e nowhere ] || fail "$2: refused, and something was unpacked"
}

# ---- bundles that do not fit ----
# empty NAME GLIBC MACHINE: a bundle without packages
empty() {
    mkdir "$1"
    printf 'glibc %s\nmachine %s\n' "$2" "$3" >"$1/requires"
    (cd "$1" && sha256sum requires >SHA256SUMS)
}
mkdir none
refused "is no bundle" none
empty newer 99.1 "$(uname -m)"
refused "needs glibc 99.1 or later" newer
empty foreign 2.2 pdp11
refused "is for pdp11" foreign
empty damaged 2.2 "$(uname -m)"
echo >>damaged/requires
refused "is damaged" damaged
! bash "$root/setup.sh" --from none >log 2>&1 || fail "a missing PREFIX was accepted"
! bash "$root/setup.sh" --bundle none extra >log 2>&1 || fail "an extra argument was accepted"

# ---- a real one ----
if ! command -v apt-get >/dev/null || ! (mkdir probe && cd probe && timeout 60 apt-get -q download pkgconf) >log 2>&1; then
    echo "skipped: no packages can be fetched here"
    exit 77
fi
bash "$root/setup.sh" --bundle bundle >log 2>&1 || fail "setup.sh --bundle"
megabytes=$(du -sm bundle | cut -f 1)
[ "$megabytes" -lt 60 ] || fail "the bundle has $megabytes MB"
! bash "$root/setup.sh" --bundle bundle >log 2>&1 || fail "--bundle wrote into a folder that is not empty"

cp -r "$root/tests/golden/models/llama2" model
cat >use.sh <<'SCRIPT'
set -euo pipefail
root=$1
bash bundle/setup.sh --from bundle prefix
source prefix/env.sh
cmake -S "$root" -B build -D CMAKE_BUILD_TYPE=Debug -D SPECREJ_TESTS=OFF -D SPECREJ_CUDA=OFF # of which it brings nothing
cmake --build build --parallel 2
if ldd build/specrej | grep -E 'lib(mpi|open-|hdf5|cyaml|yaml|jansson|pcre2|utf8proc|xxhash)' | grep -v "$PWD/prefix/"; then
    echo "these are not the bundle's"
    exit 1
fi
echo '{"prompt_ids": [1, 80, 81]}' >prompts.jsonl
cat >job.yaml <<YAML
generator: {path: model, template: raw}
reward: {path: self}
dataset: {path: prompts.jsonl}
sampling: {max_new_tokens: 8}
method: best_of_n
n: 4
record: {text: none}
output: out.h5
YAML
mpirun -np 2 build/specrej run job.yaml
h5dump -H out.h5 >header
grep -q candidates header
echo "built and run from the bundle"
SCRIPT

# As root: hide the system's copies from this process and its children, then become nobody.
cat >hide.sh <<'SCRIPT'
for folder in /usr/lib/*-linux-gnu*/{openmpi,hdf5,pmix2} /usr/include/hdf5 /usr/share/openmpi; do
    [ ! -d "$folder" ] || mount -t tmpfs tmpfs "$folder" || exit 1
done
exec "$@"
SCRIPT
run=(bash use.sh "$root")
export HOME=$work TMPDIR=$work OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$root/setup.sh"; then
    chown -R 65534:65534 .
    run=(setpriv --reuid=65534 --regid=65534 --clear-groups "${run[@]}")
fi
if unshare --mount true 2>/dev/null; then
    run=(unshare --mount bash hide.sh "${run[@]}")
elif unshare --map-root-user --mount true 2>/dev/null; then
    run=(unshare --map-root-user --mount bash hide.sh "${run[@]}")
else
    echo "no mount namespace: the system's own libraries stay in sight"
fi
"${run[@]}" >log 2>&1 || fail "building or running from the bundle"
tail -n 1 log
