#!/bin/bash
# Files that somebody made to do harm, and the inputs of the fuzz targets, through the real program: status 2, one clear
# line, below 200 MiB of memory, and no waiting (a kill after 20 s stands for "never"; the slowest is printed).
source "$(dirname "$0")/tiny.sh"
no_daemon
: "${LIMITED:?path of limited}"
fuzz=$(cd "$(dirname "$0")/../fuzz" && pwd) || exit 1
tiny_job
prompts 3 >prompts.jsonl
echo '{"prompt_ids": [5, 6]}' >short.jsonl
loading=("$SPECREJ" run job.yaml -q --set generator.path=bad --set generator.weights=checkpoint
    --set sampling.max_new_tokens=8 --set dataset.path=short.jsonl)
tried=0 accepted=0

# limited COMMAND...: its status, checked for what holds of every end.
limited() {
    "$LIMITED" took 200 20 "$@" >out 2>log
    status=$?
    [ $status != 97 ] || fail "took $(tail -n 1 took | cut -d ' ' -f 1) MiB: $*"
    [ $status != 98 ] || fail "did not end: $*"
    [ $status = 0 ] || [ $status = 2 ] || fail "status $status: $*"
    [ $status = 0 ] || [ "$(grep -vc '^\[hwloc/' log)" = 1 ] || fail "more than one line: $*"
    [ $status = 0 ] || grep -q '^specrej: error: ' log || fail "no message: $*"
    tried=$((tried + 1))
}

# refused PATTERN COMMAND...
refused() {
    local pattern=$1
    shift
    limited "$@" <"${input:-/dev/null}"
    [ $status = 2 ] || fail "status $status, not 2: $*"
    grep -Eq "$pattern" log || fail "the message does not have '$pattern': $*"
}

# ---- config.json ----
# config_of NAME PERL: a checkpoint folder NAME with the changed config.
config_of() {
    rm -rf "$1"
    cp -r "$golden/llama2" "$1"
    perl -0777 -pi -e "$2" "$1/config.json"
}
# Both the look at a folder and the job that would load it.
refused_config() {
    config_of bad "$2"
    refused "bad/config.json.*$1" "$SPECREJ" inspect bad
    refused "bad/config.json.*$1" "${loading[@]}"
}
for key in vocab_size num_hidden_layers hidden_size intermediate_size num_attention_heads; do
    refused_config "$key.*expected 1 to" "s/(\"$key\": *)\d+/\${1}1000000000/"
    refused_config "$key.*expected 1 to" "s/(\"$key\": *)\d+/\${1}-1/"
    refused_config "$key|JSON" "s/(\"$key\": *)\d+/\${1}1e3/"
    refused_config "JSON" "s/(\"$key\": *)\d+/\${1}99999999999999999999999999/"
done
refused_config "JSON" '$_ = "[" x 200000'
refused_config "JSON" '$_ = ""'
refused_config "not a JSON object" '$_ = "[]"'
refused_config "JSON" 's/llama/ll\xff/'
refused_config "JSON" 's/llama/ll\x00/'
refused_config "eos_token_id" 's/("eos_token_id": *)\d+/${1}1000000000000/'
refused_config "own code is never run" 's/\{/{"auto_map": {"AutoModelForCausalLM": "modeling.Evil"}, /'
refused_config "architecture .Evil\?\[31mLM. is not supported" 's/"Llama[A-Za-z]*"/"Evil\\u001b[31mLM"/'
refused_config "quantization_config" 's/\{/{"quantization_config": {"bits": 4}, /'
# Within every range, and far beyond what the files hold: refused by the tensors' shapes, before memory is taken.
config_of bad 's/("num_hidden_layers": *)\d+/${1}4096/; s/("intermediate_size": *)\d+/${1}4194304/'
refused "bad/model.safetensors: tensor .* expected \[4194304, 32\]" "${loading[@]}"
# Random weights are taken at the config's word: then the memory has the last one.
cp -r "$golden/rm_two_layer" vast
perl -0777 -pi -e 's/("hidden_size": *)\d+/${1}1048576/; s/\{/{"head_dim": 8, /' vast/config.json
refused "no memory" "$SPECREJ" run job.yaml -q --set reward.path=vast
rm bad/config.json && mkfifo bad/config.json
refused "bad/config.json: not a regular file" "$SPECREJ" inspect bad

# ---- safetensors ----
# header NAME HEADER DATA-BYTES: NAME/model.safetensors with this header.
header() {
    rm -rf "$1"
    cp -r "$golden/llama2" "$1"
    perl -e 'binmode STDOUT; print pack("Q<", length $ARGV[0]), $ARGV[0], "\0" x $ARGV[1]' "$2" "$3" >"$1/model.safetensors"
}
refused_header() {
    header bad "$2" "$3"
    refused "bad/model.safetensors.*$1" "$SPECREJ" inspect bad
}
t='"dtype":"F32","shape"'
refused_header "overflows 64 bits" "{\"a\":{$t:[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}" 0
refused_header "is not a count" "{\"a\":{$t:[-1],\"data_offsets\":[0,4]}}" 4
refused_header "at most 4" "{\"a\":{$t:[1,1,1,1,1],\"data_offsets\":[0,4]}}" 4
refused_header "run backwards" "{\"a\":{$t:[1],\"data_offsets\":[4,0]}}" 4
refused_header "ends at byte" "{\"a\":{$t:[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}" 4
refused_header "overlap" "{\"a\":{$t:[2],\"data_offsets\":[0,8]},\"b\":{$t:[2],\"data_offsets\":[4,12]}}" 12
refused_header "belong to no tensor" "{\"a\":{$t:[1],\"data_offsets\":[4,8]}}" 8
refused_header "follow the last tensor" "{\"a\":{$t:[1],\"data_offsets\":[0,4]}}" 8
refused_header "duplicate" "{\"a\":{$t:[1],\"data_offsets\":[0,4]},\"a\":{$t:[1],\"data_offsets\":[0,4]}}" 4
refused_header "dtype" '{"a":{"dtype":"F5","shape":[1],"data_offsets":[0,4]}}' 4
refused_header "header" "$(printf '[%.0s' {1..5000})" 0
refused_header "not a JSON object" '[]' 0
refused_header "tensor 'a b'" '{"a\nb":1}' 0
for length in 0 1 9223372036854775807 18446744073709551615 100000001; do
    header bad '{}' 0
    perl -e 'binmode STDOUT; print pack("Q<", $ARGV[0]), "{}" x 40' $length >bad/model.safetensors
    refused "bad/model.safetensors: header of $length bytes" "$SPECREJ" inspect bad
done
rm bad/model.safetensors && mkfifo bad/model.safetensors
refused "bad/model.safetensors: not a regular file" "$SPECREJ" inspect bad

# ---- the index ----
refused_index() {
    rm -rf bad
    mkdir bad
    cp "$golden/llama2/config.json" bad
    echo "$2" >bad/model.safetensors.index.json
    refused "bad/model.safetensors.index.json.*$1" "$SPECREJ" inspect bad
}
for name in ../secret.safetensors /etc/passwd . .. a/b.safetensors ''; do
    refused_index "not the name of a file of this folder" "{\"weight_map\": {\"x\": \"$name\"}}"
done
refused_index "no \*.safetensors file" '{"weight_map": {"x": "pytorch_model.bin"}}'
refused_index "is missing" '{"weight_map": {"x": "a.safetensors"}}'
refused_index "weight_map" '{"weight_map": []}'
refused_index "JSON" "$(printf '[%.0s' {1..5000})"
rm bad/*.index.json
printf '\x80\x02c__builtin__\neval\n' >bad/pytorch_model.bin
refused "pickled weights" "${loading[@]}"

# ---- tokenizer.json ----
refused_tokenizer() {
    rm -rf bad
    mkdir bad
    echo "$2" >bad/tokenizer.json
    echo "aaa é" >text
    input=text refused "$1" "$SPECREJ" tokenize bad
}
bpe='"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}'
fuse='"decoder": {"type": "Fuse"}'
grow=$(perl -e 'print join ",", ("{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aaaaaaaa\"}") x 20')
refused_tokenizer "expected 0..4194303" '{"model": {"type": "BPE", "vocab": {"a": 2147483647}, "merges": []}}'
refused_tokenizer "not in the vocabulary" '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a c"]}}'
refused_tokenizer "16 times" "{$bpe, $fuse, \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [$grow]}}"
refused_tokenizer "16 times" "{$bpe, \"decoder\": {\"type\": \"Sequence\", \"decoders\": [$grow]}}"
refused_tokenizer "more than 64 steps" "{$bpe, $fuse, \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [$(perl -e 'print join ",", ("{\"type\": \"NFC\"}") x 100')]}}"
split() { echo "{$bpe, $fuse, \"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"$1\"}}}"; }
refused_tokenizer "pattern '\\\\C'" "$(split '\\C')"
refused_tokenizer "pattern" "$(split '(')"
refused_tokenizer "pattern" "$(split '(a{1000}){1000}{1000}')"
refused_tokenizer "tokenizer.json" "$(printf '[%.0s' {1..5000})"
refused_tokenizer "not supported" '{"model": {"type": "Unigram"}}'

# ---- chat templates ----
refused_template() {
    rm -rf bad
    cp -r "$golden/../tokenizers/llama3" bad
    cp generator/config.json bad
    printf '%s' "$2" >bad/chat_template.jinja
    echo '{"prompt": "a"}' >text.jsonl
    refused "$1" "$SPECREJ" run job.yaml -q --set generator.path=bad --set reward.path=self \
        --set dataset.path=text.jsonl
}
if python3 -c "import jinja2" 2>/dev/null; then
    refused_template "unsafe|is undefined" '{{ messages.__class__.__mro__[1].__subclasses__() }}'
    refused_template "unsafe|is undefined" "{{ cycler.__init__.__globals__.os.popen('id').read() }}"
    refused_template "prints more than" "{% for i in range(300) %}{{ 'x' * 60000 }}{% endfor %}"
    refused_template "Range too big" '{% for i in range(10000000000) %}{% endfor %}'
    refused_template "more memory" "{{ 'x' * 4000000000 }}"
    refused_template "line 1" '{% endif %}'
fi

# ---- job files ----
refused_job() {
    printf '%s' "$2" >bad.yaml
    refused "bad.yaml.*$1" "$SPECREJ" run bad.yaml
}
refused_job "anchors" 'a: &a [x, x]
b: &b [*a, *a]'
refused_job "tags" 'name: !!python/object/apply:os.system ["id"]'
refused_job "nested too deeply|single word" "$(printf '{a: %.0s' {1..5000})"
refused_job "not valid YAML|found a list" "$(printf '[%.0s' {1..5000})"
refused_job "more than the 1048576 allowed" "$(perl -e 'print "# x\n" x 300000')"
refused_job "more than 100000 combinations" "$(cat job.yaml)
sweep: {seed: [$(seq -s ', ' 1 400)], n: [$(seq -s ', ' 1 400)]}"
refused_job "NUL|unreadable|not valid" $'name: "a\\0b"'
mkfifo fifo.yaml
refused "fifo.yaml: not a regular file" "$SPECREJ" run fifo.yaml
refused "variable .*NO_SUCH" "$SPECREJ" run job.yaml --set 'generator.path=$NO_SUCH_VARIABLE'

# ---- datasets ----
refused_dataset() {
    printf '%b' "$2" >bad.jsonl
    refused "bad.jsonl.*$1" "$SPECREJ" run job.yaml -q --set dataset.path=bad.jsonl
}
refused_dataset "token id" '{"prompt_ids": [2147483648]}'
refused_dataset "token id" '{"prompt_ids": [-1]}'
refused_dataset "JSON" '{"prompt_ids": [1e999]}'
refused_dataset "JSON" '{"prompt": "a\\u0000b"}'
refused_dataset "JSON" "$(printf '[%.0s' {1..5000})"
refused_dataset "expected" '{"prompt": {"a": 1}}'
mkfifo fifo.txt
refused "fifo.txt: not a regular file" "$SPECREJ" run job.yaml -q --set dataset.path=fifo.txt

# ---- result files ----
run 1 good.h5 n=4 sampling.max_new_tokens=16
size=$(stat -c %s good.h5)
refused_result() {
    for verb in inspect export report replay timeline; do
        refused "$1" "$SPECREJ" $verb "$2"
    done
    start 1 "$2" n=4 sampling.max_new_tokens=16
    refused "$1" "${command[@]}"
}
for keep in 0 7 8 40 100 4096 20000 $((size / 2)); do
    head -c "$keep" good.h5 >bad.h5
    refused_result "bad.h5" bad.h5
done
for at in 8 20 36 44 4096; do
    cp good.h5 bad.h5
    printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=bad.h5 bs=1 seek=$at conv=notrunc status=none
    limited "$SPECREJ" inspect bad.h5
done
# Numbers of a candidate (of number 1) or a partial reward that no run writes, in a file that is whole.
run 1 scored.h5 n=4 sampling.max_new_tokens=32 "score_at=at 16"
run 1 rejecting.h5 n=4 sampling.max_new_tokens=32 method=speculative_rejection "rounds=every 8"
# damaged FROM PERL: bad.h5 is FROM with a place changed.
damaged() {
    cp "$1" bad.h5
    perl -0777 -pi -e "$2" bad.h5
    cmp -s "$1" bad.h5 && fail "nothing was changed in $1: $2"
}
candidate='\0{8}\x01\0{3}[\0-\x02]\0{3}[\0-\x03]\0{3}.{8}\0\0\xc0\x7f.{16}' # prompt 0, candidate 1, ..., no judge, ...
for tokens in 1000000000000 4000000000000000000 -3; do
    for from in scored rejecting; do
        damaged $from.h5 "s/($candidate).{8}/\$1 . pack('q', $tokens)/se"
        refused "bad.h5: prompt 0: a candidate's n_tokens" "$SPECREJ" report bad.h5 -o drawn
    done
    damaged scored.h5 "s/($candidate).{8}/\$1 . pack('q', $tokens)/se"
    refused "bad.h5: prompt 0: it does not hold" "$SPECREJ" replay bad.h5 --set "sweep.alpha=[0.5]" --set "rounds=at 16"
done
damaged scored.h5 's/(\0{8})\0{4}([\0-\x03]\0{3}\x10\0{7})/$1 . pack("l", 2147483647) . $2/se'
refused "bad.h5: prompt 0: a partial reward's round" "$SPECREJ" report bad.h5 -o drawn
mkfifo fifo.h5
refused_result "fifo.h5" fifo.h5
echo "made to do harm: $tried refused"

# ---- what the fuzz targets are fed ----
# each TARGET: `one` for each of its inputs, split into part.0, part.1, ... where lines of %% separate them.
each() {
    local path part
    for path in "$fuzz/corpus/$1"/* "$fuzz/crashes/$1"/*; do
        [ -e "$path" ] || continue
        rm -rf part.* bad && mkdir bad
        perl -0777 -ne 'my $i = 0; for (split /\n%%\n/, $_, -1) { open my $f, ">", "part." . $i++; print $f $_ }' "$path"
        one "$path"
        [ $status != 0 ] || accepted=$((accepted + 1))
    done
}
tried=0
one() { cp "$golden/llama2/config.json" bad && cp "$1" bad/model.safetensors && limited "$SPECREJ" inspect bad; }
each safetensors
one() { cp "$golden/llama2/config.json" bad && cp "$1" bad/model.safetensors.index.json && limited "$SPECREJ" inspect bad; }
each index
one() {
    cp part.0 bad/tokenizer.json
    [ ! -e part.1 ] || cp part.1 bad/tokenizer_config.json
    echo "The 12 cats" >text
    limited "$SPECREJ" tokenize bad <text
}
each tokenizer
one() {
    cp part.0 bad/config.json
    [ ! -e part.1 ] || cp part.1 bad/generation_config.json
    limited "$SPECREJ" inspect bad
}
each config
one() { limited "$SPECREJ" sweep part.0; }
each job
echo "inputs of the fuzz targets: $tried, of which $accepted are no malformed files"
echo "the most memory (MiB, processor seconds, command): $(sort -n took | tail -n 1)"
echo "the most time: $(sort -k 2 -n took | tail -n 1)"
