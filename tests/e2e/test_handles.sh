#!/bin/bash
# What MPI was asked to make is given back: whole jobs of 2 ranks with the calls of faults/calls_mpi.c, which knows every
# call that the program makes and ends a process that leaves a handle behind; that it does, faults/leak.c shows.
source "$(dirname "$0")/tiny.sh"
has_mpi || { echo "skipped: this build has no MPI"; exit 77; }
: "${SPECREJ_FAULTS:?path of specrej_faults}" "${LEAK:?path of leak}"
export OMPI_MCA_orte_tmpdir_base=$work

# ---- no call is made that is not known ----
others=$(nm -u "$SPECREJ_FAULTS" | grep -o '\<MPI_[A-Z][a-z]\w*' | grep -vxE 'MPI_(Abort|Error_string)')
[ -z "$others" ] || fail "faults/calls_mpi.c does not know $others"
makers=$(grep -oP '^MAKES\(\K\w+' "$(dirname "$golden")/../faults/calls_mpi.c")

# ---- a handle that is left is noticed ----
alone=(env OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self)
"${alone[@]}" "$LEAK" none >log 2>&1 || fail "something is left of nothing"
for call in $makers; do
    "${alone[@]}" "$LEAK" "$call" >log 2>&1
    [ $? = 98 ] || fail "what $call made was left, and nobody noticed"
    [ "$(cat log)" = "what $call made was not given back" ] || fail "another message, when $call"
done
echo "noticed: what is left of" $makers

# ---- the program leaves none ----
SPECREJ=$SPECREJ_FAULTS
tiny_job
prompts 3 >prompts.jsonl
small=(n=8 sampling.max_new_tokens=24 method=speculative_rejection "rounds=every 8")
run 2 prompts.h5 "${small[@]}" judge.path=reward judge.weights=random
run 2 candidates.h5 "${small[@]}" parallel.split=candidates
run 2 tensor.h5 "${small[@]}" parallel.tensor=2
check same prompts.h5 candidates.h5
echo "2 ranks that split prompts, with a judge, that split candidates, or one group: nothing is left"
