#pragma once

#include <nanobind/nanobind.h>

namespace omnilive {

// Adds the block quantizers to the module.
void bind_quantize(nanobind::module_& module);

}  // namespace omnilive
