// What schedulers promise each other that share their cores: turns, priorities, none starves,
// never more jobs than cores, and nothing kept by one that closes.
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::CorePool;
using omnilive::index_of;
using omnilive::kAgeless;
using omnilive::kLanes;
using omnilive::Lane;
using omnilive::SchedulerSettings;
using omnilive::Ticket;
using omnilive::test::check;
using omnilive::test::check_throws;
using omnilive::test::Gate;
using omnilive::test::Log;
using omnilive::test::Served;

// Every job wants one core; lanes are the more important the earlier.
SchedulerSettings sharing(std::shared_ptr<CorePool> pool) {
  SchedulerSettings settings;
  settings.pool = std::move(pool);
  settings.patience = std::chrono::hours(1);
  for (std::size_t i = 0; i < kLanes; ++i) {
    settings.lanes[i].priority = settings.lanes[i].urgency = static_cast<int>(i);
    settings.lanes[i].permits = 1;
  }
  return settings;
}

void take_all(Served& served, int jobs) {
  for (int i = 0; i < jobs; ++i) {
    check(served.take() != nullptr, "all run");
  }
}

// One submits all its jobs before the others come: its long queue gives it no more turns.
void equal_lanes_with_long_queues_take_turns() {
  const auto pool = std::make_shared<CorePool>(1);
  Served a(sharing(pool));
  Served b(sharing(pool));
  Served c(sharing(pool));
  Gate gate;
  Log log;
  a.submit(Lane::reason, [&gate] { gate.pass(); });
  for (int i = 0; i < 5; ++i) {
    a.submit(Lane::reason, [&log] { log.add("a"); });
  }
  for (int i = 0; i < 5; ++i) {
    b.submit(Lane::reason, [&log] { log.add("b"); });
  }
  for (int i = 0; i < 5; ++i) {
    c.submit(Lane::reason, [&log] { log.add("c"); });
  }
  gate.open();
  take_all(a, 6);
  take_all(b, 5);
  take_all(c, 5);
  check(log.text() == "bcabcabcabcabca", log.text());
}

// As answers are decoded: each step is submitted when the one before it has been taken. A step here
// takes as long as the other host needs for that, so both always want the core.
void decode_steps_of_two_hosts_take_turns() {
  constexpr int kSteps = 50;
  const auto pool = std::make_shared<CorePool>(1);
  Log log;
  std::array<std::atomic<int>, 2> submitted{};
  std::array<std::atomic<int>, 2> begun{};
  std::atomic<int> running{0};
  std::atomic<bool> together{false};
  const auto step = [&](std::size_t me) {
    const std::size_t other = 1 - me;
    together = together || ++running > 1;
    ++begun[me];
    log.add(me == 0 ? "a" : "b");
    while (!together && begun[other] < kSteps && submitted[other] <= begun[other]) {
      std::this_thread::yield();
    }
    --running;
  };
  const auto decode = [&](Served& served, std::size_t me) {
    for (int i = 0; i < kSteps; ++i) {
      check(served.submit(Lane::reason, [&step, me] { step(me); }).ticket != nullptr, "room");
      ++submitted[me];
      check(served.take() != nullptr, "a step ends");
    }
  };
  Served a(sharing(pool));
  Served b(sharing(pool));
  std::thread other([&] { decode(b, 1); });
  decode(a, 0);
  other.join();
  check(!together, "one step at a time");
  const std::string text = log.text();
  check(text.size() == 2 * kSteps, "all ran");
  for (std::size_t i = 1; i < text.size(); ++i) {
    check(text[i] != text[i - 1], "in turns: " + text);
  }
}

void the_more_important_lane_goes_first_whosever_it_is() {
  const auto pool = std::make_shared<CorePool>(1);
  Served a(sharing(pool));
  Served b(sharing(pool));
  Gate gate;
  Log log;
  a.submit(Lane::listen, [&gate] { gate.pass(); });
  a.submit(Lane::remember, [&log] { log.add("a's remember "); });
  b.submit(Lane::reason, [&log] { log.add("b's reason "); });
  b.submit(Lane::see, [&log] { log.add("b's see "); });
  a.submit(Lane::speak, [&log] { log.add("a's speak"); });
  gate.open();
  take_all(a, 3);
  take_all(b, 2);
  check(log.text() == "b's see a's remember b's reason a's speak", log.text());
}

// Within a scheduler by priority; among schedulers what is equally urgent takes turns. At the end
// A has been ready for longest.
void equally_urgent_lanes_of_different_priorities_take_turns() {
  const auto pool = std::make_shared<CorePool>(1);
  SchedulerSettings settings = sharing(pool);
  settings.lanes[index_of(Lane::reason)].urgency = settings.lanes[index_of(Lane::remember)].urgency;
  Served a(settings);
  Served b(settings);
  Gate gate;
  Log log;
  a.submit(Lane::listen, [&gate] { gate.pass(); });
  for (int i = 0; i < 3; ++i) {
    a.submit(Lane::remember, [&log] { log.add("a"); });
    a.submit(Lane::reason, [&log] { log.add("A"); });
    b.submit(Lane::reason, [&log] { log.add("B"); });
  }
  b.submit(Lane::see, [&log] { log.add("s"); });
  gate.open();
  take_all(a, 7);
  take_all(b, 4);
  check(log.text() == "saBaBaABAA", log.text());
}

void an_earlier_deadline_goes_first_among_equals() {
  const auto pool = std::make_shared<CorePool>(1);
  Served a(sharing(pool));
  Served b(sharing(pool));
  Gate gate;
  Log log;
  a.submit(Lane::listen, [&gate] { gate.pass(); });
  const auto due = [&log](Served& served, std::int64_t deadline_ns, const char* name) {
    served.scheduler.submit(
        {.lane = Lane::see,
         .work = std::make_unique<omnilive::test::Call>([&log, name] { log.add(name); }),
         .generation = kAgeless,
         .deadline_ns = deadline_ns,
         .after = {},
         .reports = true,
         .name = {}});
  };
  due(a, 2, "later");
  due(b, 1, "earlier ");
  gate.open();
  take_all(a, 2);
  take_all(b, 1);
  check(log.text() == "earlier later", log.text());
}

void a_lane_passed_over_for_long_by_another_schedulers_goes_first() {
  const auto pool = std::make_shared<CorePool>(1);
  SchedulerSettings impatient = sharing(pool);
  impatient.patience = std::chrono::nanoseconds(0);
  Served a(sharing(pool));
  Served b(impatient);
  Gate gate;
  Log log;
  a.submit(Lane::listen, [&gate] { gate.pass(); });
  for (int i = 0; i < 3; ++i) {
    a.submit(Lane::see, [&log] { log.add("a"); });
  }
  b.submit(Lane::speak, [&log] { log.add("b"); });
  gate.open();
  take_all(a, 4);
  take_all(b, 1);
  check(log.text() == "baaa", log.text());
}

void jobs_of_all_schedulers_never_hold_more_cores_than_there_are() {
  constexpr int kCores = 3;
  constexpr int kRounds = 30;
  const auto pool = std::make_shared<CorePool>(kCores);
  SchedulerSettings settings = sharing(pool);
  settings.lanes[index_of(Lane::reason)].permits = 2;
  settings.lanes[index_of(Lane::remember)].permits = 8;  // all there are
  settings.lanes[index_of(Lane::speak)].permits = 0;     // needs none
  std::atomic<int> held{0};
  std::atomic<bool> over{false};
  std::array<Served, 3> all{Served(settings), Served(settings), Served(settings)};
  for (int round = 0; round < kRounds; ++round) {
    for (Served& served : all) {
      for (std::size_t i = 0; i < kLanes; ++i) {
        const int permits = std::min(settings.lanes[i].permits, kCores);
        served.submit(static_cast<Lane>(i), [&held, &over, permits] {
          if (held.fetch_add(permits) + permits > kCores) {
            over = true;
          }
          for (int n = 0; n < 3; ++n) {
            std::this_thread::yield();  // let another begin meanwhile, if it may
          }
          held.fetch_sub(permits);
        });
      }
    }
    for (Served& served : all) {
      take_all(served, kLanes);
    }
  }
  check(!over, "three cores were enough at any time");
  check(pool->free_cores() == kCores, "and are all free again");
}

void one_that_closes_before_its_job_began_lets_others_begin() {
  const auto pool = std::make_shared<CorePool>(1);
  std::optional<Served> a(std::in_place, sharing(pool), 0);  // no thread comes for its jobs
  Served b(sharing(pool));
  a->submit(Lane::see, [] {});
  const Ticket waiting = b.submit(Lane::reason, [] {}).ticket;
  check(pool->free_cores() == 0 && !waiting->settled(), "the core is a's");
  a->scheduler.close();
  check(b.take() == waiting, "b's job runs");
  a.reset();
  check(pool->members() == 1 && pool->free_cores() == 1, "a is forgotten");
  b.submit(Lane::reason, [] {});
  take_all(b, 1);
}

void one_destroyed_unclosed_lets_others_begin() {
  const auto pool = std::make_shared<CorePool>(1);
  Served b(sharing(pool));
  auto a = std::make_unique<omnilive::Scheduler>(sharing(pool));
  a->submit({.lane = Lane::see,
             .work = std::make_unique<omnilive::test::Call>([] {}),
             .generation = kAgeless,
             .deadline_ns = omnilive::kNoDeadline,
             .after = {},
             .reports = true,
             .name = {}});
  const Ticket waiting = b.submit(Lane::reason, [] {}).ticket;
  a.reset();
  check(b.take() == waiting, "b's job runs");
  check(pool->members() == 1, "a is forgotten");
}

void one_that_closes_while_its_job_runs_lets_others_begin_after_it() {
  const auto pool = std::make_shared<CorePool>(1);
  Served a(sharing(pool));
  Served b(sharing(pool));
  Gate started;
  Gate gate;
  Log log;
  a.submit(Lane::reason, [&] {
    started.open();
    gate.pass();
    log.add("a ");
  });
  started.pass();
  const Ticket waiting = b.submit(Lane::reason, [&log] { log.add("b"); }).ticket;
  a.scheduler.close();
  check(pool->free_cores() == 0 && !waiting->settled(), "the core is still a's");
  gate.open();
  check(b.take() == waiting && log.text() == "a b", log.text());
}

void a_pool_outlives_whoever_made_it() {
  auto pool = std::make_shared<CorePool>(2);
  Served served(sharing(pool));
  pool.reset();
  served.submit(Lane::see, [] {});
  take_all(served, 1);
}

void what_cannot_be_is_refused() {
  check_throws<std::invalid_argument>([] { const CorePool pool(-1); }, "fewer than no cores");
  SchedulerSettings both = sharing(std::make_shared<CorePool>(1));
  both.cores = 1;
  check_throws<std::invalid_argument>([&] { const omnilive::Scheduler scheduler(both); },
                                      "cores of its own and shared ones");
  check(both.pool->members() == 0, "and one that was refused is no member");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"equal lanes with long queues take turns", equal_lanes_with_long_queues_take_turns},
      {"decode steps of two hosts take turns", decode_steps_of_two_hosts_take_turns},
      {"the more important lane goes first, whosever it is",
       the_more_important_lane_goes_first_whosever_it_is},
      {"equally urgent lanes of different priorities take turns",
       equally_urgent_lanes_of_different_priorities_take_turns},
      {"an earlier deadline goes first among equals", an_earlier_deadline_goes_first_among_equals},
      {"a lane passed over for long by another scheduler's goes first",
       a_lane_passed_over_for_long_by_another_schedulers_goes_first},
      {"jobs of all schedulers never hold more cores than there are",
       jobs_of_all_schedulers_never_hold_more_cores_than_there_are},
      {"one that closes before its job began lets others begin",
       one_that_closes_before_its_job_began_lets_others_begin},
      {"one destroyed unclosed lets others begin", one_destroyed_unclosed_lets_others_begin},
      {"one that closes while its job runs lets others begin after it",
       one_that_closes_while_its_job_runs_lets_others_begin_after_it},
      {"a pool outlives whoever made it", a_pool_outlives_whoever_made_it},
      {"what cannot be is refused", what_cannot_be_is_refused},
  });
}
