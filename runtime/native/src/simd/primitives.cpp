// Chooses the versions of the inner loops.
#include "simd/primitives.hpp"

#include <stdexcept>
#include <string>

namespace omnilive {

const Primitives& primitives(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kAvx512Primitives;
    case Isa::kAvx2:
      return kAvx2Primitives;
#elif defined(__aarch64__)
    case Isa::kNeon:
      return kNeonPrimitives;
#endif
    case Isa::kPortable:
      return kPortablePrimitives;
    default:
      throw std::invalid_argument("this build has no kernels for " + std::string(name_of(isa)));
  }
}

}  // namespace omnilive
