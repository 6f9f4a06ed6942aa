// When jobs run: order, room, dependencies and generations of the five lanes.
// It starts no threads of its own (a thread serves a lane by calling `serve`) and knows nothing
// about what a job computes.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "lanes/core_pool.hpp"
#include "lanes/inbox.hpp"
#include "lanes/job.hpp"
#include "lanes/lane.hpp"
#include "lanes/lane_state.hpp"
#include "lanes/ranges.hpp"
#include "lanes/settings.hpp"
#include "lanes/trace.hpp"

namespace omnilive {

// What to run, where, and under which conditions.
struct Request {
  Lane lane = Lane::listen;
  std::unique_ptr<Work> work;
  std::int64_t generation = kAgeless;
  std::int64_t deadline_ns = kNoDeadline;
  // Jobs of this scheduler that must be done before; if one does not get done, this is dropped.
  std::span<const Ticket> after;
  bool reports = false;
  std::string name;
};

enum class Admission : std::uint8_t { taken, full, stale, closed };

struct Submission {
  Admission admission;
  // The job; null when it was refused, with the work handed back in `refused`.
  Ticket ticket;
  // Jobs that made way, and those that waited for them; already settled, reported nowhere else.
  std::vector<Ticket> dropped;
  std::unique_ptr<Work> refused;
};

// Rules, in this order:
// - A lane runs one job at a time, in the order they came; a head that waits for other jobs holds
//   up its lane. A ticket can only name an earlier job, so somebody can always go on.
// - Lanes that want cores get them from the pool, by its rules.
// - A job counts against its lane's capacity until it is settled and, if it reports, taken from
//   the inbox: so results are as bounded as jobs.
// Every member may be called from any thread.
class Scheduler {
 public:
  // Throws std::invalid_argument for settings that cannot be.
  explicit Scheduler(const SchedulerSettings& settings);
  // Nobody may be serving any more: `close` first, then wait for the threads.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Throws std::invalid_argument when a ticket is of another scheduler.
  Submission submit(Request request);

  // Makes every generation below `generation` stale. Those of their jobs that have not begun never
  // will; they are returned with those that waited for them, and reported nowhere else.
  std::vector<Ticket> cancel_before(std::int64_t generation);

  // Whether work of `generation` is still wanted: what a job of many steps asks between them.
  [[nodiscard]] bool is_live(std::int64_t generation) const noexcept {
    return generation >= live_from_.load(std::memory_order_acquire);
  }

  // Jobs of the lane that are not settled and taken, besides one that runs.
  [[nodiscard]] std::size_t load(Lane lane) const;

  // Whether a job is left whose end is going to be reported, or is and has not been taken.
  [[nodiscard]] bool busy() const;

  // Runs the lane's jobs on the calling thread until `close`. One thread per lane.
  // Throws std::logic_error when the lane has one already.
  void serve(Lane lane);

  // Takes what was reported or posted; see Inbox::take.
  Inbox::Waited take(Arrival& arrival, std::chrono::nanoseconds longest);
  void post(std::unique_ptr<Message> message);

  // Lets running jobs end and makes `serve` return; what waits is dropped without a report, what
  // was reported is forgotten, and nothing is taken from now on. Cores go back to the pool at once,
  // or when the job that has them ends.
  void close();

  [[nodiscard]] LaneFigures figures(Lane lane) const;
  [[nodiscard]] std::vector<Span> spans() const;
  [[nodiscard]] std::uint64_t spans_forgotten() const;
  // Threads in `serve`.
  [[nodiscard]] std::size_t serving() const;

 private:
  LaneState& state(Lane lane) { return lanes_[index_of(lane)]; }
  [[nodiscard]] const LaneState& state(Lane lane) const { return lanes_[index_of(lane)]; }

  // What one change settled. Both lists outlive the lock: a job may be destroyed with the last of
  // its tickets, and its work may wait for other locks then.
  struct Fallout {
    std::vector<Ticket> dropped;
    std::vector<Ticket> released;
  };

  // All of these expect the pool's lock to be held.
  bool wait_for_dependencies(const Ticket& job, std::span<const Ticket> after);
  void drop(const Ticket& job, std::uint64_t LaneFigures::* counter, Fallout& fallout);
  void drop_dependents(Job& job, Fallout& fallout);
  void end(LaneState& lane, const Ticket& job, Fallout& fallout);
  void report(const Ticket& job);
  void uncount(const Job& job);
  void uncount_all(const std::vector<Ticket>& jobs);
  Ticket next_job(std::unique_lock<std::mutex>& lock, LaneState& lane);

  const std::chrono::nanoseconds spin_;
  const NowNs now_;
  const Ranges ranges_;
  Inbox inbox_;
  std::atomic<std::int64_t> live_from_;

  // Its lock guards all that follows.
  const std::shared_ptr<CorePool> pool_;
  std::array<LaneState, kLanes> lanes_;
  std::size_t reporting_ = 0;
  std::size_t serving_ = 0;
  bool closed_ = false;
  Trace trace_;
};

}  // namespace omnilive
