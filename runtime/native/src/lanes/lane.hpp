// The five lanes and how each treats a job it has no room for. Data only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace omnilive {

enum class Lane : std::uint8_t { listen, see, remember, reason, speak };

inline constexpr std::size_t kLanes = 5;
inline constexpr std::array<const char*, kLanes> kLaneNames{"listen", "see", "remember", "reason",
                                                            "speak"};

constexpr std::size_t index_of(Lane lane) noexcept { return static_cast<std::size_t>(lane); }

// What a full lane does with one more job.
enum class FullPolicy : std::uint8_t {
  refuse,       // the submitter keeps it and waits for room: nothing is ever lost
  drop_oldest,  // the oldest job that has not begun makes way: the newest is worth more
};

// How one lane is run.
struct LaneSettings {
  // Jobs that may wait besides the one that runs; at least 1.
  std::size_t capacity = 16;
  FullPolicy policy = FullPolicy::refuse;
  // Lower is served first when lanes of one scheduler wait for the same cores.
  int priority = 0;
  // The same among lanes of several schedulers; those of one urgency take turns. No lane is more
  // urgent than one of a lower priority.
  int urgency = 0;
  // Cores a job of this lane keeps busy while it runs; 0 for one that needs none to speak of.
  int permits = 0;
};

}  // namespace omnilive
