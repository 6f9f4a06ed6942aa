// NVTX ranges around jobs, told to a library that stands in for the profiler's.
#include <dlfcn.h>

#include <memory>
#include <string>

#include "check.hpp"
#include "lanes/ranges.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::Lane;
using omnilive::Ranges;
using omnilive::SchedulerSettings;
using omnilive::test::check;
using omnilive::test::Served;

void run_named(Served& served, const std::string& name) {
  served.scheduler.submit({.lane = Lane::see,
                           .work = std::make_unique<omnilive::test::Call>([] {}),
                           .generation = omnilive::kAgeless,
                           .deadline_ns = omnilive::kNoDeadline,
                           .after = {},
                           .reports = true,
                           .name = name});
  check(served.take() != nullptr, "it ran");
}

void jobs_are_ranges_by_their_names_or_their_lanes() {
  // Kept open, so that what it was told outlives the scheduler.
  const std::shared_ptr<void> fake(dlopen(FAKE_NVTX, RTLD_NOW), [](void* handle) {
    if (handle != nullptr) {
      dlclose(handle);
    }
  });
  check(fake != nullptr, "the fake library loads");
  SchedulerSettings settings;
  settings.ranges_library = FAKE_NVTX;
  {
    Served served(settings);
    run_named(served, "encode");
    run_named(served, "");
  }
  const auto told = reinterpret_cast<const char* (*)()>(dlsym(fake.get(), "fake_nvtx_told"));
  check(std::string(told()) == "(encode)(see)", told());
}

void without_the_library_there_are_none() {
  check(!Ranges("").found() && !Ranges("libno_such_profiler.so.9").found(), "none found");
  check(!Ranges("libm.so.6").found(), "nor in another library");
  check(Ranges(FAKE_NVTX).found(), "but in the right one");
  check(Ranges("libno_such_profiler.so.9:libm.so.6::" FAKE_NVTX).found(), "also as the last");
  SchedulerSettings settings;
  settings.ranges_library = "libno_such_profiler.so.9";
  Served served(settings);
  run_named(served, "encode");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"jobs are ranges by their names, or their lanes'",
       jobs_are_ranges_by_their_names_or_their_lanes},
      {"without the library there are none", without_the_library_there_are_none},
  });
}
