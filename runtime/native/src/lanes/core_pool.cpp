#include "lanes/core_pool.hpp"

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace omnilive {

namespace {

using Rank = std::tuple<int, int, std::int64_t, std::int64_t, std::uint64_t>;

// Of a lane that is ready; the lowest goes first. `standing` is its priority or urgency.
Rank rank(const LaneState& lane, int standing, std::int64_t now_ns) {
  const Job& job = *lane.waiting.front();
  const std::int64_t ready_ns = std::max(job.submitted_ns, lane.last_ended_ns);
  if (now_ns - ready_ns >= lane.patience_ns) {
    return {0, 0, 0, ready_ns, job.id};
  }
  return {1, standing, job.deadline_ns, ready_ns, job.id};
}

// Of one scheduler's lanes that are ready: the one to go first; null without any.
LaneState* first_of(CorePool::Lanes lanes, std::int64_t now_ns) {
  LaneState* first = nullptr;
  Rank first_rank;
  for (LaneState& lane : lanes) {
    if (lane.current || lane.waiting.empty() || lane.waiting.front()->awaited > 0) {
      continue;
    }
    if (lane.settings.permits == 0) {
      return &lane;  // it competes with nobody
    }
    const Rank found = rank(lane, lane.settings.priority, now_ns);
    if (first == nullptr || found < first_rank) {
      first = &lane;
      first_rank = found;
    }
  }
  return first;
}

}  // namespace

CorePool::CorePool(int cores) : cores_(cores), free_cores_(cores) {
  if (cores < 0) {
    throw std::invalid_argument("there are no fewer than 0 cores");
  }
}

int CorePool::free_cores() const {
  const std::lock_guard lock(mutex_);
  return free_cores_;
}

std::size_t CorePool::members() const {
  const std::lock_guard lock(mutex_);
  return members_.size();
}

void CorePool::join(Lanes lanes) { members_.push_back(lanes); }

void CorePool::leave(Lanes lanes) noexcept {
  std::erase_if(members_, [lanes](Lanes member) { return member.data() == lanes.data(); });
}

void CorePool::dispatch(std::int64_t now_ns) {
  while (LaneState* lane = next_lane(now_ns)) {
    if (lane->settings.permits > free_cores_) {
      return;
    }
    begin(*lane);
  }
}

LaneState* CorePool::next_lane(std::int64_t now_ns) {
  LaneState* best = nullptr;
  Rank best_rank;
  for (const Lanes lanes : members_) {
    LaneState* first = first_of(lanes, now_ns);
    if (first == nullptr) {
      continue;
    }
    if (first->settings.permits == 0) {
      return first;
    }
    const Rank found = rank(*first, first->settings.urgency, now_ns);
    if (best == nullptr || found < best_rank) {
      best = first;
      best_rank = found;
    }
  }
  return best;
}

void CorePool::begin(LaneState& lane) {
  lane.current = std::move(lane.waiting.front());
  lane.waiting.pop_front();
  lane.taken = false;
  lane.current->state.store(JobState::running, std::memory_order_release);
  free_cores_ -= lane.settings.permits;
  lane.signal.store(true, std::memory_order_release);
  if (lane.asleep) {
    lane.asleep = false;
    lane.wake.notify_one();
  }
}

}  // namespace omnilive
