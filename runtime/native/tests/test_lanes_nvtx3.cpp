// NVTX ranges around jobs through CUDA's own NVTX 3, told to a tool that stands in for a profiler.
// Skipped where that library is not.
#include <dlfcn.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "check.hpp"
#include "lanes/ranges.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::Lane;
using omnilive::Ranges;
using omnilive::SchedulerSettings;
using omnilive::test::Call;
using omnilive::test::check;
using omnilive::test::Served;

constexpr int kSkipped = 77;  // what ctest is told that it means

void run_on(Served& served, Lane lane, const std::string& name) {
  served.scheduler.submit({.lane = lane,
                           .work = std::make_unique<Call>([] {}),
                           .generation = omnilive::kAgeless,
                           .deadline_ns = omnilive::kNoDeadline,
                           .after = {},
                           .reports = true,
                           .name = name});
  check(served.take() != nullptr, "it ran");
}

void a_profiler_sees_jobs_of_every_lane() {
  // Opened before NVTX does it, to ask what it was told.
  const std::shared_ptr<void> tool(dlopen(FAKE_PROFILER, RTLD_NOW), [](void* handle) {
    if (handle != nullptr) {
      dlclose(handle);
    }
  });
  check(tool != nullptr, "the tool loads");
  SchedulerSettings settings;
  settings.ranges_library = std::string("libno_such_profiler.so.9:") + NVTX3;
  {
    Served served(settings);
    run_on(served, Lane::see, "encode");
    run_on(served, Lane::listen, "");
    run_on(served, Lane::see, "");
  }
  const auto told = reinterpret_cast<const char* (*)()>(dlsym(tool.get(), "fake_profiler_told"));
  check(std::string(told()) == "(encode)(listen)(see)", told());
}

}  // namespace

int main() {
  if (!Ranges(NVTX3).found()) {
    std::cout << "skipped: no NVTX 3 at '" << NVTX3 << "'\n";
    return kSkipped;
  }
  // NVTX looks for the tool at the first call of the process.
  if (setenv("NVTX_INJECTION64_PATH", FAKE_PROFILER, 1) != 0) {
    return 1;
  }
  return omnilive::test::run_all({
      {"a profiler sees jobs of every lane", a_profiler_sees_jobs_of_every_lane},
  });
}
