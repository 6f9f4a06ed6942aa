#include "lanes/settings.hpp"

#include <stdexcept>

namespace omnilive {

std::int64_t steady_now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void check(const SchedulerSettings& settings) {
  for (const LaneSettings& lane : settings.lanes) {
    if (lane.capacity < 1) {
      throw std::invalid_argument("a lane holds at least one waiting job");
    }
    if (lane.permits < 0) {
      throw std::invalid_argument("a lane needs no fewer than 0 cores");
    }
  }
  if (settings.cores < 0 || settings.spin.count() < 0 || settings.patience.count() < 0) {
    throw std::invalid_argument("cores, spin and patience are not negative");
  }
  if (settings.pool && settings.cores > 0) {
    throw std::invalid_argument("cores are shared with others or not, not both");
  }
}

}  // namespace omnilive
