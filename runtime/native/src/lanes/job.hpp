// A job: one unit of work that a lane runs without pause, and what became of it.
// It knows nothing about Python, engines or models.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "lanes/lane.hpp"

namespace omnilive {

// What a job does. `run` is called at most once, on the lane's thread; what it throws makes the
// job failed. Both it and the destructor run without any lock of the scheduler held.
class Work {
 public:
  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;
  virtual void run() = 0;
};

enum class JobState : std::uint8_t {
  waiting,
  running,
  done,
  failed,   // its work threw
  dropped,  // it never ran: evicted, stale, after a job that did not get done, or the lanes closed
};

// Generation of a job that no barge-in makes stale.
inline constexpr std::int64_t kAgeless = std::numeric_limits<std::int64_t>::max();
// Deadline of a job that has none.
inline constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();

// One job; also the ticket of it, which others may wait for. Times are nanoseconds of the
// scheduler's clock. Everything but `state` is written by the scheduler under its lock, or by the
// lane that runs the job; readers elsewhere wait until it is settled.
struct Job {
  Job(std::unique_ptr<Work> does, Lane on) : work(std::move(does)), lane(on) {}

  [[nodiscard]] bool settled() const noexcept {
    return state.load(std::memory_order_acquire) > JobState::running;
  }

  std::unique_ptr<Work> work;
  Lane lane;
  std::atomic<JobState> state{JobState::waiting};
  std::int64_t generation = kAgeless;
  std::int64_t deadline_ns = kNoDeadline;
  // Whether the host is told when it has ended; if not, it is settled where it ran.
  bool reports = false;
  std::string name;
  std::uint64_t id = 0;

  std::int64_t submitted_ns = 0;
  std::int64_t started_ns = 0;
  std::int64_t ended_ns = 0;
  std::exception_ptr error;

  // The scheduler that took it.
  const void* owner = nullptr;
  // Jobs before it that are not done yet, and jobs that wait for it.
  std::size_t awaited = 0;
  std::vector<std::shared_ptr<Job>> dependents;
};

using Ticket = std::shared_ptr<Job>;

}  // namespace omnilive
