// Asks the processor what it runs. An operating system that does not save the wide registers counts
// as a processor without them.
#include "simd/isa.hpp"

#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace omnilive {
namespace {

#if defined(__x86_64__)
// Asked by hand: not every compiler's __builtin_cpu_supports knows this feature.
bool has_f16c() {
  unsigned int eax = 0;
  unsigned int ebx = 0;
  unsigned int ecx = 0;
  unsigned int edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kPortable:
      break;
  }
  return "portable";
}

std::vector<Isa> usable_isas() {
  std::vector<Isa> usable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") != 0 && has_f16c()) {
    if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
        __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0) {
      usable.push_back(Isa::kAvx512);
    }
    usable.push_back(Isa::kAvx2);
  }
#elif defined(__aarch64__)
  usable.push_back(Isa::kNeon);  // part of every AArch64
#endif
  usable.push_back(Isa::kPortable);
  return usable;
}

Isa best_isa() {
  static const Isa best = usable_isas().front();
  return best;
}

Isa isa_named(std::string_view name) {
  std::string known;
  for (const Isa isa : usable_isas()) {
    if (name_of(isa) == name) {
      return isa;
    }
    known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  throw std::invalid_argument("no instruction set '" + std::string(name) + "' here, only " + known);
}

}  // namespace omnilive
