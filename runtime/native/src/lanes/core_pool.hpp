// The cores that the lanes of several schedulers share, and who of them is next.
// It decides nothing about room, generations or what a job waits for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "lanes/lane_state.hpp"

namespace omnilive {

// Rules, in this order:
// - A lane that has been ready for its patience without running goes first, the longest ready
//   before others.
// - Then lanes of one scheduler go by priority, and the first of each scheduler by urgency; those
//   that are equal by deadline, then by how long they have been ready: since their last job ended,
//   if the next was there by then. So equals take turns job by job, however many jobs each has
//   waiting, and whoever is ahead with less urgent work gives way to whoever is behind.
// - What does not fit is not overtaken by something smaller, or it would never fit.
class CorePool {
 public:
  // All lanes of one scheduler.
  using Lanes = std::span<LaneState, kLanes>;

  // With 0 cores nobody waits for one. Throws std::invalid_argument for fewer.
  explicit CorePool(int cores);
  CorePool(const CorePool&) = delete;
  CorePool& operator=(const CorePool&) = delete;

  [[nodiscard]] int cores() const noexcept { return cores_; }
  // Cores that no job keeps busy. Like `members`, it takes the lock.
  [[nodiscard]] int free_cores() const;
  // Schedulers that share the cores.
  [[nodiscard]] std::size_t members() const;

  // The one lock of all members: what changes a lane may let another scheduler's lane begin.
  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }

  // The rest expects the lock to be held.

  // Lanes compete from `join` until `leave`, which they do idle. Their permits are no more than
  // there are cores.
  void join(Lanes lanes);
  void leave(Lanes lanes) noexcept;

  // Numbers the jobs of all members in the order they came.
  [[nodiscard]] std::uint64_t next_id() noexcept { return next_id_++; }

  // Lets lanes begin as long as there are cores for the next one.
  void dispatch(std::int64_t now_ns);

  // What `lane` runs, or was to run, keeps its cores no more.
  void give_back(const LaneState& lane) noexcept { free_cores_ += lane.settings.permits; }

 private:
  [[nodiscard]] LaneState* next_lane(std::int64_t now_ns);
  void begin(LaneState& lane);

  const int cores_;
  mutable std::mutex mutex_;
  int free_cores_;
  std::uint64_t next_id_ = 1;
  std::vector<Lanes> members_;
};

}  // namespace omnilive
