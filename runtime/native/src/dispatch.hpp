// Compiles a kernel once per x86 instruction set and picks the best at load time, where the
// toolchain can; elsewhere (aarch64, musl) the one portable version is the kernel.
#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) &&                      \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GNUC__) && \
    !defined(__clang__)
#define OMNILIVE_MULTIVERSION __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define OMNILIVE_MULTIVERSION
#endif
