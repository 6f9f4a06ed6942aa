#include "lanes/scheduler.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace omnilive {

namespace {

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace

Scheduler::Scheduler(const SchedulerSettings& settings)
    : spin_(settings.spin),
      now_(settings.now),
      ranges_(settings.ranges_library),
      live_from_(std::numeric_limits<std::int64_t>::min()),
      pool_(settings.pool ? settings.pool : std::make_shared<CorePool>(settings.cores)),
      trace_(settings.trace_capacity) {
  check(settings);
  for (std::size_t i = 0; i < kLanes; ++i) {
    lanes_[i].settings = settings.lanes[i];
    // A job that wants more than there is gets all there is.
    lanes_[i].settings.permits = std::min(settings.lanes[i].permits, pool_->cores());
    lanes_[i].patience_ns = settings.patience.count();
  }
  const std::lock_guard lock(pool_->mutex());
  pool_->join(lanes_);
}

Scheduler::~Scheduler() {
  close();
  const std::lock_guard lock(pool_->mutex());
  pool_->leave(lanes_);
}

Submission Scheduler::submit(Request request) {
  auto job = std::make_shared<Job>(std::move(request.work), request.lane);
  job->generation = request.generation;
  job->deadline_ns = request.deadline_ns;
  job->reports = request.reports;
  job->name = std::move(request.name);
  job->owner = this;

  Submission result{Admission::taken, nullptr, {}, nullptr};
  Fallout fallout;
  const std::lock_guard lock(pool_->mutex());
  LaneState& lane = state(job->lane);
  if (closed_) {
    result.admission = Admission::closed;
  } else if (!is_live(job->generation) || !wait_for_dependencies(job, request.after)) {
    result.admission = Admission::stale;
  } else if (lane.unsettled > lane.settings.capacity) {
    if (lane.settings.policy == FullPolicy::drop_oldest && !lane.waiting.empty()) {
      const Ticket oldest = lane.waiting.front();
      drop(oldest, &LaneFigures::dropped, fallout);
      uncount_all(fallout.dropped);
      // The newcomer may have waited for what made way.
      if (job->settled()) {
        result.admission = Admission::stale;
      }
    } else {
      result.admission = Admission::full;
    }
  }
  result.dropped = std::move(fallout.dropped);
  if (result.admission != Admission::taken) {
    for (const Ticket& before : request.after) {
      std::erase(before->dependents, job);
    }
    result.refused = std::move(job->work);
    if (!result.dropped.empty()) {  // it may have held up its lane
      pool_->dispatch(now_());
    }
    return result;
  }
  job->id = pool_->next_id();
  job->submitted_ns = now_();
  lane.waiting.push_back(job);
  ++lane.unsettled;
  ++lane.figures.submitted;
  reporting_ += job->reports ? 1 : 0;
  pool_->dispatch(job->submitted_ns);
  result.ticket = std::move(job);
  return result;
}

std::vector<Ticket> Scheduler::cancel_before(std::int64_t generation) {
  Fallout fallout;
  const std::lock_guard lock(pool_->mutex());
  if (generation <= live_from_.load(std::memory_order_relaxed)) {
    return {};
  }
  live_from_.store(generation, std::memory_order_release);
  for (LaneState& lane : lanes_) {
    std::vector<Ticket> stale;
    std::ranges::copy_if(lane.waiting, std::back_inserter(stale),
                         [this](const Ticket& job) { return !is_live(job->generation); });
    for (const Ticket& job : stale) {
      if (!job->settled()) {  // it may have gone with one it waited for
        drop(job, &LaneFigures::cancelled, fallout);
      }
    }
  }
  uncount_all(fallout.dropped);
  pool_->dispatch(now_());
  return std::move(fallout.dropped);
}

std::size_t Scheduler::load(Lane lane) const {
  const std::lock_guard lock(pool_->mutex());
  const std::size_t unsettled = state(lane).unsettled;
  return unsettled == 0 ? 0 : unsettled - 1;
}

bool Scheduler::busy() const {
  const std::lock_guard lock(pool_->mutex());
  return reporting_ > 0;
}

void Scheduler::serve(Lane which) {
  LaneState& lane = state(which);
  std::unique_lock lock(pool_->mutex());
  if (lane.served) {
    throw std::logic_error(std::string("the lane ") + kLaneNames[index_of(which)] +
                           " is served already");
  }
  lane.served = true;
  ++serving_;
  while (Ticket job = next_job(lock, lane)) {
    lock.unlock();
    job->started_ns = now_();
    try {
      const Ranges::Scope range(
          ranges_, job->name.empty() ? kLaneNames[index_of(which)] : job->name.c_str());
      job->work->run();
    } catch (...) {
      job->error = std::current_exception();
    }
    job->ended_ns = now_();
    Fallout fallout;
    lock.lock();
    end(lane, job, fallout);
    lock.unlock();
    job.reset();
    fallout = {};
    lock.lock();
  }
  lane.served = false;
  --serving_;
}

Inbox::Waited Scheduler::take(Arrival& arrival, std::chrono::nanoseconds longest) {
  const Inbox::Waited waited = inbox_.take(arrival, longest);
  if (waited == Inbox::Waited::arrived) {
    if (const Ticket* job = std::get_if<Ticket>(&arrival)) {
      const std::lock_guard lock(pool_->mutex());
      uncount(**job);
    }
  }
  return waited;
}

void Scheduler::post(std::unique_ptr<Message> message) { inbox_.put(std::move(message)); }

void Scheduler::close() {
  Fallout fallout;
  std::deque<Arrival> forgotten;
  const std::lock_guard lock(pool_->mutex());
  closed_ = true;
  for (LaneState& lane : lanes_) {
    if (lane.current && !lane.taken) {  // no thread has come for it
      const Ticket job = std::exchange(lane.current, nullptr);
      pool_->give_back(lane);
      drop(job, &LaneFigures::dropped, fallout);
    }
    while (!lane.waiting.empty()) {
      const Ticket job = lane.waiting.front();
      drop(job, &LaneFigures::dropped, fallout);
    }
    lane.signal.store(true, std::memory_order_release);
    lane.wake.notify_all();
  }
  uncount_all(fallout.dropped);
  forgotten = inbox_.clear();
  for (const Arrival& arrival : forgotten) {
    if (const Ticket* job = std::get_if<Ticket>(&arrival)) {
      uncount(**job);
    }
  }
  pool_->dispatch(now_());  // others may begin
}

LaneFigures Scheduler::figures(Lane lane) const {
  const std::lock_guard lock(pool_->mutex());
  return state(lane).figures;
}

std::vector<Span> Scheduler::spans() const {
  const std::lock_guard lock(pool_->mutex());
  return trace_.spans();
}

std::uint64_t Scheduler::spans_forgotten() const {
  const std::lock_guard lock(pool_->mutex());
  return trace_.forgotten();
}

std::size_t Scheduler::serving() const {
  const std::lock_guard lock(pool_->mutex());
  return serving_;
}

// False when one of them did not get done, so that `job` never can be.
bool Scheduler::wait_for_dependencies(const Ticket& job, std::span<const Ticket> after) {
  for (const Ticket& before : after) {
    if (before->owner != this) {
      throw std::invalid_argument("a ticket of another scheduler cannot be waited for");
    }
  }
  for (const Ticket& before : after) {
    switch (before->state.load(std::memory_order_acquire)) {
      case JobState::done:
        break;
      case JobState::waiting:
      case JobState::running:
        before->dependents.push_back(job);
        ++job->awaited;
        break;
      case JobState::failed:
      case JobState::dropped:
        return false;
    }
  }
  return true;
}

// Settles a job that never ran, and those that waited for it. They stay counted.
void Scheduler::drop(const Ticket& job, std::uint64_t LaneFigures::* counter, Fallout& fallout) {
  LaneState& lane = state(job->lane);
  job->state.store(JobState::dropped, std::memory_order_release);
  if (job->id == 0) {
    return;  // it is just being submitted
  }
  if (const auto at = std::ranges::find(lane.waiting, job); at != lane.waiting.end()) {
    lane.waiting.erase(at);
  }
  job->ended_ns = now_();
  ++(lane.figures.*counter);
  trace_.add(*job);
  fallout.dropped.push_back(job);
  drop_dependents(*job, fallout);
}

void Scheduler::drop_dependents(Job& job, Fallout& fallout) {
  for (Ticket& dependent : std::exchange(job.dependents, {})) {
    if (!dependent->settled()) {
      drop(dependent, &LaneFigures::dropped, fallout);
    }
    fallout.released.push_back(std::move(dependent));
  }
}

// A job has run: frees its lane and cores, and lets others begin.
void Scheduler::end(LaneState& lane, const Ticket& job, Fallout& fallout) {
  const bool failed = job->error != nullptr;
  job->state.store(failed ? JobState::failed : JobState::done, std::memory_order_release);
  ++(failed ? lane.figures.failed : lane.figures.done);
  lane.figures.waited.add(job->started_ns - job->submitted_ns);
  lane.figures.ran.add(job->ended_ns - job->started_ns);
  lane.figures.missed += job->ended_ns > job->deadline_ns ? 1 : 0;
  lane.last_ended_ns = job->ended_ns;
  trace_.add(*job);
  lane.current.reset();
  pool_->give_back(lane);
  report(job);
  if (failed) {
    drop_dependents(*job, fallout);
    for (const Ticket& lost : fallout.dropped) {
      report(lost);
    }
  } else {
    for (Ticket& dependent : std::exchange(job->dependents, {})) {
      --dependent->awaited;
      fallout.released.push_back(std::move(dependent));
    }
  }
  pool_->dispatch(job->ended_ns);
}

// Under the lock, so that nothing is reported once `close` has emptied the inbox.
void Scheduler::report(const Ticket& job) {
  if (job->reports && !closed_) {
    inbox_.put(job);
  } else {
    uncount(*job);
  }
}

void Scheduler::uncount(const Job& job) {
  --state(job.lane).unsettled;
  reporting_ -= job.reports ? 1 : 0;
}

void Scheduler::uncount_all(const std::vector<Ticket>& jobs) {
  for (const Ticket& job : jobs) {
    uncount(*job);
  }
}

// The lane's next job, or null when the lanes are closed: looks for it a while, then sleeps.
Ticket Scheduler::next_job(std::unique_lock<std::mutex>& lock, LaneState& lane) {
  while (!lane.current) {
    if (closed_) {
      return nullptr;
    }
    lane.signal.store(false, std::memory_order_relaxed);
    if (spin_.count() > 0) {
      lock.unlock();
      const auto until = std::chrono::steady_clock::now() + spin_;
      while (!lane.signal.load(std::memory_order_acquire) &&
             std::chrono::steady_clock::now() < until) {
        relax();
      }
      lock.lock();
    }
    if (!lane.current && !closed_) {
      lane.asleep = true;
      lane.wake.wait(lock, [this, &lane] { return lane.current || closed_; });
      lane.asleep = false;
    }
  }
  lane.taken = true;
  return lane.current;
}

}  // namespace omnilive
