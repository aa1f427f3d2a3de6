# Stages that need only a C compiler.

# compile_core FOLDER COMPILER FLAGS...: every source of the core to an object in FOLDER, on all cores.
compile_core() {
    local folder=$1
    shift
    rm -rf "$folder"
    mkdir -p "$folder"
    find src_c -name '*.c' -print0 | xargs -0 -P "$(getconf _NPROCESSORS_ONLN)" -I{} \
        sh -c 'name=$1 out=$2; shift 2; exec "$@" -c "$name" -o "$out/$(echo "$name" | tr / _).o"' \
        sh {} "$folder" "$@"
}

# The core as an embedder builds it, with and without OpenMP, and a program on top of it.
stage_standalone() {
    local flag
    for flag in -fopenmp ""; do
        compile_core "$work/plain" "$CC" -O3 $flag
        ar rcs "$work/plain/libgradcore.a" "$work"/plain/*.o
        "$CC" -O3 $flag examples/c/xor.c "$work/plain/libgradcore.a" -lm -o "$work/xor"
        "$work/xor"
    done
}

stage_warnings() {
    local compiler
    for compiler in gcc clang; do
        if ! command -v "$compiler" >/dev/null; then
            echo "skipped: no $compiler"
            continue
        fi
        compile_core "$work/strict" "$compiler" -O1 -Wall -Wextra -Werror
        "$compiler" -O1 -Wall -Wextra -Werror -c examples/c/xor.c -o "$work/strict/example.o"
    done
}

# german COMMAND...: runs the command under a locale with a decimal comma, made for this purpose; without localedef or
# the sources of locales it runs the command as it is and says so.
german() {
    local folder=$work/locale
    if [ ! -e "$folder/de_DE.UTF-8/LC_NUMERIC" ]; then
        mkdir -p "$folder"
        localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8" || true # warnings count as failures
    fi
    if [ -e "$folder/de_DE.UTF-8/LC_NUMERIC" ]; then
        LOCPATH=$folder LC_ALL=de_DE.UTF-8 "$@"
    else
        echo "skipped: no localedef or no sources of locales, so not under a German locale"
        "$@"
    fi
}

# checked_core FLAGS...: a core of these flags for run_c_test and run_c_tests, which take the same ones. It looks at
# its assertions (GRC_ASSERT), which no other build does.
checked_core() {
    compile_core "$work/checked" "$CC" -DGRC_DEBUG "$@"
    ar rcs "$work/checked/libgradcore.a" "$work"/checked/*.o
}

# run_c_test NAME FLAGS...: tests/c/NAME.c against that core.
run_c_test() {
    local name=$1
    shift
    "$CC" "$@" -pthread -Isrc_c "tests/c/$name.c" "$work/checked/libgradcore.a" -lm -o "$work/checked/$name"
    (cd "$work" && ${launch:-} "checked/$name")
}

# run_c_tests FLAGS...: all of them.
run_c_tests() {
    local source
    for source in tests/c/test_*.c; do
        run_c_test "$(basename "$source" .c)" "$@"
    done
}

# must_trip NAME FLAGS...: the canary of a sanitizer has to fail, else the sanitizer is not at work.
must_trip() {
    local name=$1
    shift
    "$CC" "$@" "tests/c/canary_$name.c" -o "$work/canary_$name"
    if ${launch:-} "$work/canary_$name" >"$work/canary_$name.log" 2>&1; then
        echo "the $name canary did not trip its sanitizer"
        return 1
    fi
    grep -E 'AddressSanitizer|ThreadSanitizer: data race|runtime error' "$work/canary_$name.log"
}

# At -O1 alone gcc leaves the upper halves of the vector registers in use, and scalar code that follows runs
# 50 times slower on some CPUs.
stage_sanitizers() {
    local common="-O1 -fexpensive-optimizations -g -fno-omit-frame-pointer"
    local address="$common -fsanitize=address"
    must_trip address $address
    checked_core $address
    german run_c_tests $address
    local undefined="$common -fsanitize=undefined -fno-sanitize-recover=all"
    must_trip undefined $undefined
    checked_core $undefined
    LC_ALL=C run_c_tests $undefined
}

# Assertions on, and both sanitizers at once: the core as one works at it. `make debug` runs this stage.
stage_debug() {
    local flags="-O1 -fexpensive-optimizations -g -fno-omit-frame-pointer -fopenmp"
    flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=all"
    checked_core $flags
    run_c_tests $flags
}

# The threads of the core, watched: ThreadSanitizer may report nothing, and there is no list of exceptions. Its runtime
# in older compilers fails where the system draws addresses from a wide range, so they are not drawn at all.
stage_threads() {
    local launch="setarch $(uname -m) -R"
    $launch true 2>/dev/null || launch=
    local flags="-O1 -fexpensive-optimizations -g -fno-omit-frame-pointer -fopenmp -fsanitize=thread"
    must_trip thread $flags
    checked_core $flags
    run_c_test test_threads $flags
}

# A core in which a random thread is late at every barrier: the golden hashes, and the bits of one thread.
stage_stress() {
    local seed flags="-O1 -fexpensive-optimizations -fopenmp -DGRC_STRESS"
    checked_core $flags
    for seed in 1 2; do
        GRADCORE_EXACT_THREADS=1 GRADCORE_STRESS_SEED=$seed run_c_tests $flags
    done
}

# The NEON kernels, where a cross compiler and an emulator are installed.
stage_cross() {
    local cross=aarch64-linux-gnu-gcc emulator
    emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
    if ! command -v "$cross" >/dev/null || [ -z "$emulator" ]; then
        echo "skipped: no aarch64 cross compiler or no qemu"
        return 0
    fi
    compile_core "$work/neon" "$cross" -O2 -Wall -Wextra -Werror
    aarch64-linux-gnu-ar rcs "$work/neon/libgradcore.a" "$work"/neon/*.o
    local source
    for source in examples/c/xor.c tests/c/test_*.c; do
        "$cross" -O2 -static -pthread -Isrc_c "$source" "$work/neon/libgradcore.a" -lm -o "$work/neon/program"
        (cd "$work" && "$emulator" "$work/neon/program")
    done
}
