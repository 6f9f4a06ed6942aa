// One lane as its scheduler and its pool of cores see it. Data only.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "lanes/histogram.hpp"
#include "lanes/job.hpp"
#include "lanes/lane.hpp"

namespace omnilive {

// What a lane has done so far.
struct LaneFigures {
  Histogram waited;  // submit to start
  Histogram ran;     // start to end
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t missed = 0;     // ended after their deadline
  std::uint64_t dropped = 0;    // made way, lost what they waited for, or were left at the end
  std::uint64_t cancelled = 0;  // their generation went stale while they waited
};

// Everything but `signal` belongs to the lock of the pool.
struct LaneState {
  LaneSettings settings;
  // Ready so long without running, the lane goes before more important ones.
  std::int64_t patience_ns = 0;
  std::deque<Ticket> waiting;
  // The job that has the lane and its cores; `taken` once the lane's thread has it.
  Ticket current;
  bool taken = false;
  bool served = false;
  bool asleep = false;
  std::size_t unsettled = 0;
  std::int64_t last_ended_ns = 0;
  LaneFigures figures;
  // What a spinning thread looks at without the lock: there is a job, or the end has come.
  std::atomic<bool> signal{false};
  std::condition_variable wake;
};

}  // namespace omnilive
