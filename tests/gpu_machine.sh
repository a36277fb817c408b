# For gpu.sh and bench/gpu.sh, which source it: what this machine with a GPU has, and the build for its card.
# `out`: the build's folder.  Nothing of Debian is taken for granted: nvcc and the libraries may be the toolkit's, or those
# of python3's packages, where libraries have no name without a version.

# Waits for a device or a rank that does not come, in seconds: a hang must not take all of a short visit.
[ -n "${EMULATED:-}" ] || export SPECREJ_CUDA_DEADLINE_S=${SPECREJ_CUDA_DEADLINE_S:-60}
# As root, more ranks than cores; without copies between processes' memory, which sandboxes refuse.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

fail() {
    echo "gpu.sh: $*" >&2
    exit 1
}

# Folders of python3's packages of NVIDIA, if any.
python_packages() {
    python3 -c "import importlib.util as u
s = u.find_spec('nvidia')
print(*(s.submodule_search_locations if s else []), sep='\n')" 2>/dev/null
}

# find_file NAME FOLDER...: the first file of that name in them.
find_file() {
    local name=$1
    shift
    [ $# = 0 ] || find -L "$@" -name "$name" -print -quit 2>/dev/null
}

# provide NAME HEADER: library and header into $out/cuda, where the toolkit has not both: from python3's packages, or
# from where else the linker finds them.
provide() {
    local name=$1 header=$2 library include packages
    mapfile -t packages < <(python_packages)
    if [ -n "$(find_file "lib$name.so" "$toolkit_root"/lib* "$toolkit_root"/targets/*/lib)" ] &&
        [ -n "$(find_file "$header" "$toolkit_root"/include "$toolkit_root"/targets/*/include)" ]; then
        return
    fi
    library=$(find_file "lib$name.so.[0-9]*" "${packages[@]}" "$toolkit_root" /usr/lib /usr/local/lib)
    include=$(find_file "$header" "${packages[@]}" "$toolkit_root" /usr/include /usr/local/include)
    [ -n "$library" ] && [ -n "$include" ] || fail "no $name: neither in $toolkit_root nor among python3's packages
(library: '$library', header: '$include'); set CUDA_HOME to a toolkit that has it"
    mkdir -p "$out/cuda/lib" "$out/cuda/include"
    ln -sfn "$library" "$out/cuda/lib/lib$name.so"
    ln -sfn "$library" "$out/cuda/lib/$(basename "$library")"
    ln -sfn "$(dirname "$include")"/* "$out/cuda/include/"
    echo "$name: $library"
}

# Do driver, toolkit and libraries fit together?  Sets toolkit_root and `card`, the architecture to compile for.
gpu_check() {
    local toolkit driver capability home
    command -v nvidia-smi >/dev/null || fail "no nvidia-smi: this machine has no NVIDIA driver"
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader ||
        fail "nvidia-smi finds no GPU"
    for home in "${CUDA_HOME:-}" /usr/local/cuda $(python_packages | sed 's,$,/cu13,'); do
        if [ -x "$home/bin/nvcc" ]; then
            PATH=$home/bin:$PATH
            break
        fi
    done
    command -v nvcc >/dev/null || fail "no nvcc; set CUDA_HOME to the toolkit's folder"
    toolkit_root=$(dirname "$(dirname "$(realpath "$(command -v nvcc)")")")
    export CUDACXX=$toolkit_root/bin/nvcc CUDAToolkit_ROOT=$toolkit_root PATH=$PATH:$toolkit_root/compute-sanitizer
    toolkit=$(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
    driver=$(nvidia-smi | sed -n 's/.*CUDA.* Version: *\([0-9][0-9.]*\).*/\1/p')
    driver=${driver%%$'\n'*}
    [ -z "$driver" ] || [ "${toolkit%%.*}" -le "${driver%%.*}" ] ||
        fail "the toolkit is CUDA $toolkit, the driver runs up to CUDA $driver: a newer driver or an older toolkit is needed"
    printf '12.8\n%s\n' "$toolkit" | sort -V -C ||
        fail "the toolkit is CUDA $toolkit; 12.8 is the oldest that knows all cards of the build"
    echo "toolkit CUDA $toolkit in $toolkit_root, driver up to CUDA ${driver:-unknown}"
    capability=$(nvidia-smi -i 0 --query-gpu=compute_cap --format=csv,noheader)
    case $capability in
    9.0 | 10.0) card=${capability/./}a-real ;;
    [0-9]*.[0-9]) card=${capability/./}-real ;;
    *) card="80;90a-real;100a-real" ;;
    esac
    provide nccl nccl.h
    provide cublasLt cublasLt.h
    if [ -d "$out/cuda" ]; then
        local here
        here=$(cd "$out/cuda" && pwd)
        export CMAKE_PREFIX_PATH=$here${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH} CPATH=$here/include${CPATH:+:$CPATH}
        export LIBRARY_PATH=$here/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
        export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    fi
}

# gpu_bundle DIR: unpacked once; empty: nothing to do but to see whether all is there.
gpu_bundle() {
    if [ -n "$1" ] && [ ! -e "$out/prefix/env.sh" ]; then
        bash setup.sh --from "$1" "$out/prefix" || fail "the bundle does not fit"
    fi
    # shellcheck disable=SC1091
    [ ! -e "$out/prefix/env.sh" ] || source "$out/prefix/env.sh"
    bash setup.sh --check || fail "make a bundle elsewhere (bash setup.sh --bundle DIR), then: gpu.sh --bundle DIR"
}

# gpu_build TARGET...: for this card alone, with all processors.
gpu_build() {
    local generator=()
    if [ ! -e "$out/CMakeCache.txt" ] && ! command -v make >/dev/null; then generator=(-G Ninja); fi
    cmake -S . -B "$out" "${generator[@]}" -D CMAKE_BUILD_TYPE=Release -D SPECREJ_CUDA=ON -D SPECREJ_WERROR=OFF \
        -D SPECREJ_CUDA_ARCHITECTURES="$card" &&
        cmake --build "$out" --parallel "$(nproc)" --target "$@"
}
