// Random interleavings of submitting, cancelling, taking and closing from several threads.
// Whatever happens, every job ends exactly one way and nothing is left behind.
#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::Admission;
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

// One thread's share of the turmoil.
void submit_some(omnilive::Scheduler& scheduler, std::uint32_t lanes, Census& census,
                 std::uint32_t seed, Tally& tally) {
  std::mt19937 random(seed);
  std::vector<Ticket> tickets;
  const auto pick = [&random](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (std::uint32_t i = 0, n = 4 + pick(12); i < n; ++i) {
    std::vector<Ticket> after;
    while (!tickets.empty() && pick(3) == 0) {
      after.push_back(tickets[pick(static_cast<std::uint32_t>(tickets.size()))]);
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
      tickets.push_back(submission.ticket);
    } else {
      ++tally.refused;
      check(submission.refused != nullptr, "a refused job is handed back");
    }
    if (pick(6) == 0) {
      tally.dropped += static_cast<int>(scheduler.cancel_before(pick(4)).size());
    }
  }
}

void one_interleaving(std::uint32_t seed) {
  std::mt19937 random(seed);
  SchedulerSettings settings;
  for (auto& lane : settings.lanes) {
    lane.capacity = 1 + random() % 4;
    lane.policy = random() % 2 == 0 ? FullPolicy::refuse : FullPolicy::drop_oldest;
    lane.permits = static_cast<int>(random() % 4);
    lane.priority = static_cast<int>(random() % 3);
  }
  settings.cores = static_cast<int>(random() % 4);
  settings.spin = std::chrono::microseconds(random() % 2 == 0 ? 0 : 20);
  settings.patience = std::chrono::microseconds(random() % 100);
  settings.trace_capacity = random() % 8;

  const auto lanes = static_cast<std::uint32_t>(1 + random() % 3);

  Census census;
  std::array<Tally, 2> tallies;
  std::uint64_t settled = 0;
  {
    omnilive::test::Served served(settings, lanes);
    const auto first = static_cast<std::uint32_t>(random());
    const auto second = static_cast<std::uint32_t>(random());
    std::thread other([&] { submit_some(served.scheduler, lanes, census, first, tallies[0]); });
    const bool close_early = random() % 4 == 0;
    if (close_early) {
      std::thread closer([&] { served.scheduler.close(); });
      submit_some(served.scheduler, lanes, census, second, tallies[1]);
      closer.join();
    } else {
      submit_some(served.scheduler, lanes, census, second, tallies[1]);
    }
    other.join();
    if (!close_early && random() % 2 == 0) {
      // Everything is let run: nothing may hang.
      omnilive::Arrival arrival;
      while (served.scheduler.busy()) {
        check(served.scheduler.take(arrival, omnilive::test::kLong) !=
                  omnilive::Inbox::Waited::timed_out,
              "a job that reports is reported");
      }
    }
    served.stop();
    check(served.scheduler.serving() == 0, "no thread is left");
    check(!served.scheduler.busy(), "no report is left");
    for (std::size_t i = 0; i < kLanes; ++i) {
      const auto lane = static_cast<Lane>(i);
      check(served.scheduler.load(lane) == 0, "no job is left");
      const auto figures = served.scheduler.figures(lane);
      const std::uint64_t ended =
          figures.done + figures.failed + figures.dropped + figures.cancelled;
      check(ended == figures.submitted, "every job has ended exactly one way");
      check(figures.ran.count() == figures.done + figures.failed, "those that ran were timed");
      settled += ended;
    }
  }
  const auto taken = static_cast<std::uint64_t>(tallies[0].taken + tallies[1].taken);
  check(settled == taken, "all that were taken");
  check(census.gone == census.made, "every job is destroyed");
  check(static_cast<std::uint64_t>(census.ran) <= taken, "none ran twice");
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
      {"10,000 random interleavings leave no thread, ticket or job behind",
       [] { nothing_is_left_behind(10'000); }},
  });
}
