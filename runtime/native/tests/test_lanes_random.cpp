// Random interleavings of submitting, cancelling, taking and closing from several threads, over
// several schedulers that share cores. Whatever happens, every job ends exactly one way and nothing
// is left behind.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::Admission;
using omnilive::CorePool;
using omnilive::FullPolicy;
using omnilive::kAgeless;
using omnilive::kLanes;
using omnilive::Lane;
using omnilive::SchedulerSettings;
using omnilive::Ticket;
using omnilive::test::check;

// How many jobs exist, have run, and were destroyed without.
struct Census {
  std::atomic<int> made{0};
  std::atomic<int> ran{0};
  std::atomic<int> gone{0};
};

class Counted final : public omnilive::Work {
 public:
  Counted(Census& census, bool fails) : census_(census), fails_(fails) { ++census_.made; }
  ~Counted() override { ++census_.gone; }
  void run() override {
    ++census_.ran;
    if (fails_) {
      throw std::runtime_error("as it should");
    }
  }

 private:
  Census& census_;
  bool fails_;
};

struct Tally {
  int taken = 0;
  int refused = 0;
  int dropped = 0;
};

// A scheduler that others share cores with, and what a thread made of it.
struct Member {
  Member(const SchedulerSettings& settings, std::size_t lanes) : served(settings, lanes) {}

  omnilive::test::Served served;
  std::array<Tally, 2> tallies{};
};

using Members = std::vector<std::unique_ptr<Member>>;

// One thread's share of the turmoil.
void submit_some(const Members& members, std::uint32_t lanes, Census& census, std::uint32_t seed,
                 std::size_t thread) {
  std::mt19937 random(seed);
  std::vector<std::vector<Ticket>> tickets(members.size());
  const auto pick = [&random](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (std::uint32_t i = 0, n = 4 + pick(12); i < n; ++i) {
    const std::uint32_t which = pick(members.size());
    omnilive::Scheduler& scheduler = members[which]->served.scheduler;
    Tally& tally = members[which]->tallies[thread];
    std::vector<Ticket> after;
    while (!tickets[which].empty() && pick(3) == 0) {
      after.push_back(tickets[which][pick(tickets[which].size())]);
    }
    const std::int64_t generation = pick(2) == 0 ? kAgeless : static_cast<std::int64_t>(pick(4));
    auto submission =
        scheduler.submit({.lane = static_cast<Lane>(pick(lanes)),
                          .work = std::make_unique<Counted>(census, pick(16) == 0),
                          .generation = generation,
                          .deadline_ns = static_cast<std::int64_t>(pick(2'000'000'000)),
                          .after = after,
                          .reports = pick(2) == 0,
                          .name = "job"});
    tally.dropped += static_cast<int>(submission.dropped.size());
    if (submission.admission == Admission::taken) {
      ++tally.taken;
      tickets[which].push_back(submission.ticket);
    } else {
      ++tally.refused;
      check(submission.refused != nullptr, "a refused job is handed back");
    }
    if (pick(6) == 0) {
      tally.dropped += static_cast<int>(scheduler.cancel_before(pick(4)).size());
    }
  }
}

// Everything is let run: nothing may hang.
void take_all(omnilive::Scheduler& scheduler) {
  omnilive::Arrival arrival;
  while (scheduler.busy()) {
    check(scheduler.take(arrival, omnilive::test::kLong) != omnilive::Inbox::Waited::timed_out,
          "a job that reports is reported");
  }
}

// Stops it and looks whether anything is left. The others go on.
void stop(Member& member) {
  omnilive::test::Served& served = member.served;
  served.stop();
  check(served.scheduler.serving() == 0, "no thread is left");
  check(!served.scheduler.busy(), "no report is left");
  std::uint64_t settled = 0;
  for (std::size_t i = 0; i < kLanes; ++i) {
    const auto lane = static_cast<Lane>(i);
    check(served.scheduler.load(lane) == 0, "no job is left");
    const auto figures = served.scheduler.figures(lane);
    const std::uint64_t ended = figures.done + figures.failed + figures.dropped + figures.cancelled;
    check(ended == figures.submitted, "every job has ended exactly one way");
    check(figures.ran.count() == figures.done + figures.failed, "those that ran were timed");
    settled += ended;
  }
  const int taken = member.tallies[0].taken + member.tallies[1].taken;
  check(settled == static_cast<std::uint64_t>(taken), "all that were taken");
}

void one_interleaving(std::uint32_t seed) {
  std::mt19937 random(seed);
  SchedulerSettings settings;
  for (auto& lane : settings.lanes) {
    lane.capacity = 1 + random() % 4;
    lane.policy = random() % 2 == 0 ? FullPolicy::refuse : FullPolicy::drop_oldest;
    lane.permits = static_cast<int>(random() % 4);
    lane.priority = static_cast<int>(random() % 3);
    lane.urgency = static_cast<int>(random() % 2);
  }
  const auto cores = static_cast<int>(random() % 4);
  settings.pool = std::make_shared<CorePool>(cores);
  settings.spin = std::chrono::microseconds(random() % 2 == 0 ? 0 : 20);
  settings.patience = std::chrono::microseconds(random() % 100);
  settings.trace_capacity = random() % 8;

  const auto lanes = static_cast<std::uint32_t>(1 + random() % 3);

  Census census;
  int taken = 0;
  {
    Members members;
    for (std::size_t i = 0, n = 1 + random() % 3; i < n; ++i) {
      members.push_back(std::make_unique<Member>(settings, lanes));
    }
    const auto first = static_cast<std::uint32_t>(random());
    const auto second = static_cast<std::uint32_t>(random());
    std::thread other([&] { submit_some(members, lanes, census, first, 0); });
    Member* closing = random() % 4 == 0 ? members[random() % members.size()].get() : nullptr;
    if (closing != nullptr) {
      std::thread closer([closing] { closing->served.scheduler.close(); });
      submit_some(members, lanes, census, second, 1);
      closer.join();
    } else {
      submit_some(members, lanes, census, second, 1);
    }
    other.join();
    // They go one by one, while those that are left may have work still.
    while (!members.empty()) {
      const auto next = members.begin() + static_cast<std::ptrdiff_t>(random() % members.size());
      if (next->get() != closing && random() % 2 == 0) {
        take_all((*next)->served.scheduler);
      }
      stop(**next);
      taken += (*next)->tallies[0].taken + (*next)->tallies[1].taken;
      members.erase(next);
      check(settings.pool->members() == members.size(), "the pool knows who is left");
    }
  }
  check(settings.pool->free_cores() == cores, "every core is free again");
  check(census.gone == census.made, "every job is destroyed");
  check(census.ran <= taken, "none ran twice");
}

void nothing_is_left_behind(std::uint32_t interleavings) {
  for (std::uint32_t seed = 0; seed < interleavings; ++seed) {
    try {
      one_interleaving(seed);
    } catch (const std::exception& error) {
      throw omnilive::test::Failure("seed " + std::to_string(seed) + ": " + error.what());
    }
  }
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"10,000 random interleavings leave no thread, ticket, job or core behind",
       [] { nothing_is_left_behind(10'000); }},
  });
}
