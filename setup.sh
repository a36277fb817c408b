#!/usr/bin/env bash
# The one place that knows what specrej is built with.  `bash setup.sh --help` says how to use it.
#
# Three ways to the same libraries:
#   a machine of one's own    setup.sh installs the distribution's packages that are missing, and only those
#   a site's modules          setup.sh finds them (mpicc, pkg-config, CMAKE_PREFIX_PATH) and has nothing to do
#   neither root nor network  setup.sh --bundle on a machine that has a network, setup.sh --from where it is needed
set -euo pipefail

usage() {
    cat <<'TEXT'
bash setup.sh [--dev]             install what is missing (root or sudo); does nothing when all is there
bash setup.sh --check [--dev]     say what is missing; exit status 1 when something is
bash setup.sh --bundle DIR        save the libraries' packages as files in DIR (Debian with a network, no root)
bash setup.sh --from DIR PREFIX   unpack such a DIR into PREFIX, without root or network; then
                                  `source PREFIX/env.sh` and configure, build and run as usual

--dev adds the tools of .ci/run: clang-format, clang with its fuzzer, cppcheck, valgrind, Slurm, Chromium,
h5py and pandas.
A bundle holds libraries and headers; compiler, make or ninja, CMake (3.25 or later) and python3 are the target
machine's own.
TEXT
}

fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

# ---- what is needed --------------------------------------------------------------------------------------------------

# need NAME PACKAGES COMMAND...: when the command fails, NAME is missing, and PACKAGES would bring it.
need() {
    local name=$1 packages=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing="${missing:+$missing, }$name"
        missing_packages="$missing_packages $packages"
    fi
}

# The same for what most work goes without.
wish() {
    local name=$1 packages=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        wished="${wished:+$wished, }$name"
        missing_packages="$missing_packages $packages"
    fi
}

find_missing() {
    missing="" wished="" missing_packages=""
    need "a C compiler" "gcc libc6-dev" has_header stdlib.h
    need "a C++ compiler" g++ command -v c++
    need "make or ninja" make has_make
    need "CMake 3.25 or later" cmake has_cmake
    need "pkg-config" pkgconf command -v pkg-config
    need "MPI (mpicc)" libopenmpi-dev command -v mpicc
    need "MPI (mpirun)" openmpi-bin command -v mpirun
    need "HDF5" libhdf5-dev has_hdf5 # the serial library: it goes with any MPI
    wish "h5dump (shows result files)" hdf5-tools command -v h5dump
    need "libcyaml" libcyaml-dev pkg-config --exists libcyaml
    need "libyaml" libyaml-dev pkg-config --exists yaml-0.1
    need "jansson" libjansson-dev pkg-config --exists jansson
    need "PCRE2" libpcre2-dev pkg-config --exists libpcre2-8
    need "utf8proc" libutf8proc-dev pkg-config --exists libutf8proc
    need "xxHash" libxxhash-dev pkg-config --exists libxxhash
    need "cmocka" libcmocka-dev pkg-config --exists cmocka
    wish "python3 (chat templates that are not built in)" python3 command -v python3
    wish "Jinja2 for python3 (the same)" python3-jinja2 python3 -c "import jinja2"
    wish "gnuplot (figures of specrej report)" gnuplot-nox command -v gnuplot
    if [ "$dev" = yes ]; then
        need "clang-format" clang-format command -v clang-format
        need "clang 14 with libFuzzer and OpenMP" "clang-14 libclang-rt-14-dev libomp-14-dev" has_fuzzer
        need "cppcheck" cppcheck command -v cppcheck
        need "oneDNN (benchmarks compare with it)" libdnnl-dev has_header dnnl.h
        need "valgrind" valgrind command -v valgrind
        wish "valgrind's wrappers of MPI" valgrind-mpi has_mpi_wrappers
        need "Slurm (a cluster of the tests' own)" "slurmctld slurmd slurm-client munge iproute2" has_slurm
        wish "Chromium (looks at the page of specrej report)" chromium has_browser
        wish "h5py and pandas for python3 (read result files as users do)" "python3-h5py python3-pandas" has_pandas
    fi
}

# A header in the compiler's folders or in a site's CMAKE_PREFIX_PATH.
has_header() {
    local prefixes prefix flags=()
    IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
    for prefix in "${prefixes[@]}"; do flags+=("-I$prefix/include"); done
    echo "#include <$1>" | cc -E "${flags[@]}" -o /dev/null -
}

has_make() {
    command -v make || command -v ninja
}

has_hdf5() {
    local name
    for name in hdf5 hdf5-serial hdf5-openmpi hdf5-mpich; do
        pkg-config --exists "$name" && return
    done
    has_header hdf5.h || [ -e "${HDF5_ROOT:-}/include/hdf5.h" ] || command -v h5cc || command -v h5pcc
}

has_cmake() {
    local found
    found=$(cmake --version | sed -n '1s/[^0-9]*//p')
    [ "$(printf '3.25\n%s\n' "$found" | sort -V | head -n 1)" = 3.25 ]
}

has_pandas() {
    python3 -c "import h5py, pandas" || /usr/bin/python3 -c "import h5py, pandas"
}

has_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

# The fuzzer's main is linked for a real program, and OpenMP found.
has_fuzzer() {
    echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0 * (n && d[0]); }' |
        clang-14 -x c -fsanitize=fuzzer,address -fopenmp -o /dev/null -
}

has_mpi_wrappers() {
    [ -n "$(find /usr/lib -name 'libmpiwrap-*linux.so' -print -quit)" ]
}

# Its daemons are in folders that are not in everybody's PATH.
has_slurm() {
    local program PATH=$PATH:/usr/sbin:/sbin
    for program in slurmctld slurmd munged sbatch ip; do command -v "$program" || return; done
}

# ---- a machine of one's own ------------------------------------------------------------------------------------------

# Ends with status 1 when something is missing that the build cannot do without.
report() {
    [ -z "$wished" ] || echo "setup.sh: not there, and not required: $wished"
    [ -z "$missing" ] || fail "missing: $missing${1:+
$1}"
    echo "setup.sh: everything that is required is there"
}

install_missing() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q)
    find_missing
    if [ -z "$missing_packages" ]; then
        echo "setup.sh: everything is there"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        report "This machine has no apt-get: load the site's modules (CMAKE_PREFIX_PATH and PKG_CONFIG_PATH are searched),
or see 'setup.sh --from' in 'setup.sh --help'."
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            report "Installing needs root or sudo: ask for$missing_packages,
or see 'setup.sh --from' in 'setup.sh --help'."
            return
        fi
        apt=(sudo "${apt[@]}")
    fi
    echo "setup.sh: installing$missing_packages"
    "${apt[@]}" update || echo "setup.sh: the package lists could not be refreshed; trying with those that are here" >&2
    # shellcheck disable=SC2086  # several packages, separated by blanks
    "${apt[@]}" install -y --no-install-recommends $missing_packages || echo "setup.sh: apt-get failed" >&2
    find_missing
    report
}

# ---- a bundle: the packages as files ---------------------------------------------------------------------------------

# What a program of ours is compiled and linked with.  pkgconf answers CMake's questions about it.
bundle_roots="libopenmpi-dev openmpi-bin libhdf5-dev hdf5-tools libcyaml-dev libyaml-dev libjansson-dev
    libpcre2-dev libutf8proc-dev libxxhash-dev libcmocka-dev pkgconf"

# What the target machine has (its compiler, C library and base system) or nothing of ours reads: Fortran, Java, C++
# and high-level interfaces, documents, other packages' headers, plugins for graphics cards' topology.
is_left_out() {
    case " $bundle_roots " in *[[:space:]]"$1"[[:space:]]*) return 1 ;; esac
    case $1 in
    libc6 | libc-* | libgcc-s1 | libstdc++6 | libgomp1 | gcc-*-base | adduser | debconf | perl* | dpkg | openssh-client) ;;
    gfortran* | libgfortran* | flang* | *-fortran-* | *-cpp-* | libjs-* | libhwloc-plugins | *-dev | *-data) ;;
    *) return 1 ;;
    esac
}

# The packages that the arguments depend on directly, alternatives included.
direct_dependencies() {
    apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
        sed -n 's/^[ |]*Depends: \([^<]*\)$/\1/p' | sort -u
}

# Everything that bundle_roots need, down to what is_left_out says of it.
bundle_packages() {
    local found=" " fresh next package
    read -ra fresh -d '' <<<"$bundle_roots" || true # read reports the end of its input
    while [ ${#fresh[@]} != 0 ]; do
        next=()
        for package in "${fresh[@]}"; do
            case $found in *" $package "*) continue ;; esac
            is_left_out "$package" && continue
            found+="$package "
            next+=("$package")
        done
        [ ${#next[@]} != 0 ] || break
        mapfile -t fresh < <(direct_dependencies "${next[@]}")
    done
    tr ' ' '\n' <<<"$found" | sed '/^$/d' | sort
}

make_bundle() {
    local folder=$1 packages libc
    command -v apt-get >/dev/null || fail "--bundle needs apt-get: make the bundle on a Debian machine with a network"
    apt-cache show libopenmpi-dev >/dev/null 2>&1 || fail "the package lists are empty: run 'apt-get update' as root first"
    mkdir -p "$folder"
    [ -z "$(ls -A "$folder")" ] || fail "$folder is not empty"
    mapfile -t packages < <(bundle_packages)
    echo "setup.sh: saving ${#packages[@]} packages in $folder"
    (cd "$folder" && apt-get -q download "${packages[@]}") || fail "the packages could not be fetched"
    libc=$(apt-cache show --no-all-versions libc6 | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p')
    printf 'glibc %s\nmachine %s\n' "$libc" "$(uname -m)" >"$folder/requires"
    (cd "$folder" && sha256sum requires ./*.deb >SHA256SUMS)
    cp "${BASH_SOURCE[0]}" "$folder/setup.sh"
    echo "setup.sh: $(du -sm "$folder" | cut -f 1) MB; needs glibc $libc or later on $(uname -m)"
    echo "There: bash $(basename "$folder")/setup.sh --from $(basename "$folder") PREFIX"
}

# ---- a bundle: unpacked without root or network ----------------------------------------------------------------------

check_machine() {
    local folder=$1 need machine have
    [ -e "$folder/requires" ] || fail "$folder is no bundle: it has no file 'requires'"
    (cd "$folder" && sha256sum --quiet -c SHA256SUMS) || fail "$folder is damaged: copy it again"
    need=$(sed -n 's/^glibc //p' "$folder/requires")
    machine=$(sed -n 's/^machine //p' "$folder/requires")
    [ "$(uname -m)" = "$machine" ] || fail "the bundle is for $machine, this machine is $(uname -m)"
    have=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //') || have=
    [ -n "$have" ] || fail "the bundle needs glibc $need or later, and this machine has another C library"
    [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
        fail "the bundle needs glibc $need or later, this machine has $have: build there with the site's own MPI and HDF5"
    echo "setup.sh: the bundle needs glibc $need or later; this machine has $have"
}

unpack() {
    local package=$1 into=$2 data
    if command -v dpkg >/dev/null; then
        dpkg -x "$package" "$into"
        return
    fi
    data=$(ar t "$package" | grep '^data\.tar') || fail "unpacking needs dpkg, or ar and tar"
    case $data in
    *.xz) ar p "$package" "$data" | xz -dc | tar -x -C "$into" ;;
    *.zst) ar p "$package" "$data" | zstd -dc | tar -x -C "$into" ;;
    *) ar p "$package" "$data" | gzip -dc | tar -x -C "$into" ;;
    esac || fail "unpacking needs dpkg, or ar, tar and the program for ${data##*.}"
}

# Whether the machine has every library of a package unpacked in $1.  Of what is not compiled with directly the system's
# copy serves: LD_LIBRARY_PATH goes before the system's folders, so that an older copy of, say, OpenSSL would be forced
# upon the system's own programs.
machine_has_libraries() {
    local library path count=0
    while read -r library; do
        path=$(awk -v name="$library" '$1 == name { print $NF; exit }' <<<"$known_libraries")
        [ -n "$path" ] && [ -e "$path" ] || return 1
        count=$((count + 1))
    done < <(find "$1" -name 'lib*.so.*' -type l -printf '%f\n')
    [ $count != 0 ]
}

unpack_all() {
    local folder=$1 prefix=$2 package scratch
    scratch=$prefix/.unpack
    known_libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    for package in "$folder"/*.deb; do
        rm -rf "$scratch"
        mkdir "$scratch"
        unpack "$package" "$scratch"
        case $(basename "$package") in
        libopenmpi* | openmpi-* | libpmix* | libhdf5-* | hdf5-* | pkgconf* | libpkgconf*) ;;
        libcyaml* | libyaml* | libjansson* | libpcre2-* | libutf8proc* | libxxhash* | libcmocka*) ;;
        *) machine_has_libraries "$scratch" && continue ;;
        esac
        # a distribution without merged /usr has libraries in /lib as well
        if [ -d "$scratch/lib" ]; then
            mkdir -p "$scratch/usr/lib"
            cp -a "$scratch/lib/." "$scratch/usr/lib/"
        fi
        cp -a "$scratch/usr/." "$prefix/usr/"
    done
    rm -rf "$scratch"
}

# What the packages' own install scripts would have done, for another place than /usr.
adjust() {
    local usr=$1/usr libraries=$2 name file target
    for name in mpicc mpirun mpiexec; do ln -sf "$name.openmpi" "$usr/bin/$name"; done
    ln -sf openmpi/lib/libmpi.so "$libraries/libmpi.so"
    ln -sf hdf5-serial.pc "$libraries/pkgconfig/hdf5.pc"
    if [ -e "$usr/lib/libpsm1" ]; then
        ln -sf ../libpsm1/libpsm_infinipath.so.1.16 "$libraries/libpsm_infinipath.so.1"
    fi
    find "$usr" -name '*.pc' -type f -exec sed -i "s,/usr\b,$usr,g" {} +
    find "$usr" -type l -lname '/usr/*' -printf '%p\n' | while read -r file; do
        target=$(readlink "$file")
        ln -sfn "$usr${target#/usr}" "$file"
    done
    rm -rf "$usr/share/doc" "$usr/share/man" "$usr/share/lintian"
}

write_env() {
    local prefix=$1 libraries=$2
    cat >"$prefix/env.sh" <<TEXT
# Made by setup.sh --from.  source this file; then configure, build and run specrej as usual.
export PATH="$prefix/usr/bin:\$PATH"
export LD_LIBRARY_PATH="$libraries:$libraries/openmpi/lib:$libraries/hdf5/serial:$libraries/pmix2/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export CMAKE_PREFIX_PATH="$prefix/usr\${CMAKE_PREFIX_PATH:+:\$CMAKE_PREFIX_PATH}"
export PKG_CONFIG_PATH="$libraries/pkgconfig\${PKG_CONFIG_PATH:+:\$PKG_CONFIG_PATH}"
export HDF5_ROOT="$prefix/usr"
# Where Open MPI and PMIx look for their components and help texts.
export OPAL_PREFIX="$prefix/usr" OPAL_LIBDIR="$libraries/openmpi/lib" OPAL_INCLUDEDIR="$libraries/openmpi/include"
export PMIX_LIBDIR="$libraries/pmix2/lib" PMIX_DATADIR="$libraries/pmix2/share"
# mpirun starts its own machine's ranks without ssh, but refuses to look for it in vain.
command -v ssh >/dev/null || command -v rsh >/dev/null || export OMPI_MCA_plm_rsh_agent=/bin/false
# Shared memory and TCP go everywhere.  Where the site's fabric and its drivers are to be used: unset these two.
export OMPI_MCA_pml="\${OMPI_MCA_pml-ob1}" OMPI_MCA_btl="\${OMPI_MCA_btl-self,vader,tcp}"
TEXT
}

unpack_bundle() {
    local folder prefix libraries
    [ -d "$1" ] || fail "$1 is no folder"
    folder=$(cd "$1" && pwd)
    check_machine "$folder"
    mkdir -p "$2/usr"
    prefix=$(cd "$2" && pwd)
    case $prefix in *[[:space:],]*) fail "PREFIX may hold no blank and no comma: $prefix" ;; esac
    unpack_all "$folder" "$prefix"
    libraries=$(echo "$prefix"/usr/lib/*-linux-gnu*)
    adjust "$prefix" "$libraries"
    write_env "$prefix" "$libraries"
    echo "setup.sh: done.  Now: source $prefix/env.sh"
}

# ---- arguments -------------------------------------------------------------------------------------------------------

dev=no action=install
while [ $# != 0 ]; do
    case $1 in
    --dev) dev=yes ;;
    --check) action=check ;;
    --bundle)
        [ $# = 2 ] || fail "usage: setup.sh --bundle DIR"
        make_bundle "$2"
        exit
        ;;
    --from)
        [ $# = 3 ] || fail "usage: setup.sh --from DIR PREFIX"
        unpack_bundle "$2" "$3"
        exit
        ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "unknown argument $1; see --help" ;;
    esac
    shift
done

if [ "$action" = check ]; then
    find_missing
    report
else
    install_missing
fi
