// How a scheduler is set up. Data only.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "lanes/core_pool.hpp"
#include "lanes/lane.hpp"

namespace omnilive {

// Nanoseconds of a clock that never goes back.
using NowNs = std::int64_t (*)() noexcept;

std::int64_t steady_now_ns() noexcept;

struct SchedulerSettings {
  std::array<LaneSettings, kLanes> lanes{};
  // Cores the lanes share among themselves; 0: nobody waits for one.
  int cores = 0;
  // Cores they share with other schedulers' lanes, instead of `cores`; all that share them go by
  // the same clock.
  std::shared_ptr<CorePool> pool;
  // How long an idle lane looks for work before it sleeps.
  std::chrono::nanoseconds spin{50'000};
  // A lane that has been ready this long without running goes before more important ones, so that
  // none starves.
  std::chrono::nanoseconds patience{1'000'000'000};
  // Spans kept for a trace; 0 keeps none.
  std::size_t trace_capacity = 0;
  // NVTX's library, where jobs are to be ranges for a profiler; see Ranges.
  std::string ranges_library;
  NowNs now = &steady_now_ns;
};

// Throws std::invalid_argument for settings that cannot be.
void check(const SchedulerSettings& settings);

}  // namespace omnilive
