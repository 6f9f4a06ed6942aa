// What other bindings share with those of the lanes.
#pragma once

#include <memory>

#include "lanes/runnable.hpp"

namespace omnilive {

// A runnable as Python holds it. The lanes share the runnable, never this object, so that letting
// go of a job does not need the GIL.
struct NativeJob {
  std::shared_ptr<Runnable> runnable;
};

}  // namespace omnilive
