// Names the vector instruction sets the kernels have a version for, and which of them run here.
#pragma once

#include <string_view>
#include <vector>

namespace omnilive {

enum class Isa { kPortable, kNeon, kAvx2, kAvx512 };

// "portable", "neon", "avx2", "avx512".
std::string_view name_of(Isa isa);

// Those this build has and this processor runs, best first; kPortable is always the last.
std::vector<Isa> usable_isas();

// The first of usable_isas().
Isa best_isa();

// The set of that name. Throws std::invalid_argument when it is unknown or not usable here.
Isa isa_named(std::string_view name);

}  // namespace omnilive
