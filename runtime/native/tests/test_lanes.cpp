// What the scheduler promises: order, room, generations, dependencies, cores and figures.
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "lanes_threads.hpp"

namespace {

using omnilive::Admission;
using omnilive::FullPolicy;
using omnilive::index_of;
using omnilive::JobState;
using omnilive::kAgeless;
using omnilive::kLanes;
using omnilive::Lane;
using omnilive::SchedulerSettings;
using omnilive::Submission;
using omnilive::Ticket;
using omnilive::test::check;
using omnilive::test::check_throws;
using omnilive::test::Gate;
using omnilive::test::Log;
using omnilive::test::Served;

void jobs_of_a_lane_run_in_order() {
  Served served;
  Log log;
  Ticket last;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    last = served.submit(Lane::reason, [&log, name] { log.add(name); }).ticket;
  }
  while (served.take() != last) {
  }
  check(log.text() == "abcde", log.text());
}

void a_job_waits_for_jobs_of_other_lanes() {
  Served served;
  Log log;
  Gate gate;
  const Ticket first = served
                           .submit(Lane::see,
                                   [&] {
                                     gate.pass();
                                     log.add("see ");
                                   })
                           .ticket;
  const Ticket second =
      served.submit(Lane::remember, [&] { log.add("remember "); }, kAgeless, {first}).ticket;
  const Ticket third =
      served.submit(Lane::reason, [&] { log.add("reason"); }, kAgeless, {first, second}).ticket;
  gate.open();
  while (served.take() != third) {
  }
  check(log.text() == "see remember reason", log.text());
  const Ticket late = served.submit(Lane::speak, [] {}, kAgeless, {first, third}).ticket;
  check(served.take() == late, "a job after settled ones runs at once");
}

void what_waits_for_a_job_that_fails_never_runs() {
  Served served;
  std::atomic<bool> ran{false};
  Gate gate;
  const Ticket failing = served
                             .submit(Lane::see,
                                     [&gate] {
                                       gate.pass();
                                       throw std::runtime_error("broken");
                                     })
                             .ticket;
  const Ticket second =
      served.submit(Lane::remember, [&] { ran = true; }, kAgeless, {failing}).ticket;
  const Ticket third = served.submit(Lane::reason, [&] { ran = true; }, kAgeless, {second}).ticket;
  gate.open();
  for (int i = 0; i < 3; ++i) {
    check(served.take() != nullptr, "all three are reported");
  }
  check(failing->state == JobState::failed && failing->error != nullptr, "the first has failed");
  check(second->state == JobState::dropped && third->state == JobState::dropped, "both dropped");
  check(!ran, "neither ran");
  const Submission late = served.submit(Lane::speak, [] {}, kAgeless, {third});
  check(late.admission == Admission::stale && late.refused != nullptr, "nor may a later one");
  check(!served.scheduler.busy(), "nothing is left");
}

void a_full_lane_refuses_or_drops_its_oldest() {
  SchedulerSettings settings;
  for (auto& lane : settings.lanes) {
    lane.capacity = 2;
  }
  settings.lanes[index_of(Lane::see)].policy = FullPolicy::drop_oldest;
  Served served(settings);
  Gate gate;
  for (const Lane lane : {Lane::see, Lane::listen}) {
    for (int i = 0; i < 3; ++i) {
      check(served.submit(lane, [&gate] { gate.pass(); }).admission == Admission::taken, "room");
    }
    check(served.scheduler.load(lane) == 2, "two wait besides the one that runs");
  }
  const Submission refused = served.submit(Lane::listen, [] {});
  check(refused.admission == Admission::full && refused.refused != nullptr, "listen refuses");
  const Submission taken = served.submit(Lane::see, [] {});
  check(taken.admission == Admission::taken && taken.dropped.size() == 1, "one made way");
  check(taken.dropped[0]->state == JobState::dropped, "the oldest waiting one");
  check(served.scheduler.figures(Lane::see).dropped == 1, "it is counted");
  gate.open();
}

void results_nobody_takes_count_against_the_lane() {
  SchedulerSettings settings;
  settings.lanes[index_of(Lane::see)] = {.capacity = 1, .policy = FullPolicy::drop_oldest};
  Served served(settings);
  for (int i = 0; i < 2; ++i) {
    Gate ran;
    check(served.submit(Lane::see, [&ran] { ran.open(); }).admission == Admission::taken, "room");
    ran.pass();
  }
  // Two results wait for the host: there is nothing left to drop but the newcomer.
  while (served.scheduler.figures(Lane::see).done < 2) {
  }
  check(served.submit(Lane::see, [] {}).admission == Admission::full, "no room");
  check(served.take() != nullptr, "one is taken");
  check(served.submit(Lane::see, [] {}).admission == Admission::taken, "room again");
}

void a_stale_generation_never_begins() {
  Served served;
  Gate started;
  Gate gate;
  std::atomic<int> ran{0};
  const Ticket running = served
                             .submit(
                                 Lane::reason,
                                 [&] {
                                   started.open();
                                   gate.pass();
                                   ++ran;
                                 },
                                 1)
                             .ticket;
  started.pass();
  const Ticket waiting = served.submit(Lane::reason, [&] { ++ran; }, 1).ticket;
  const Ticket after = served.submit(Lane::speak, [&] { ++ran; }, kAgeless, {waiting}).ticket;
  const Ticket fresh = served.submit(Lane::reason, [&] { ++ran; }, 2).ticket;
  const std::vector<Ticket> dropped = served.scheduler.cancel_before(2);
  check(dropped == std::vector<Ticket>{waiting, after}, "the waiting one and what waited for it");
  check(served.submit(Lane::reason, [] {}, 1).admission == Admission::stale, "too late");
  check(!served.scheduler.is_live(1) && served.scheduler.is_live(2), "generations");
  gate.open();
  check(served.take() == running && served.take() == fresh, "the others are reported");
  check(ran == 2, "and only they ran");
  check(served.scheduler.figures(Lane::reason).cancelled == 1, "counted as cancelled");
}

// With one core and every lane wanting it, lanes go by priority whatever the order of arrival.
void lanes_get_cores_by_priority() {
  SchedulerSettings settings;
  settings.cores = 1;
  settings.patience = std::chrono::hours(1);
  for (std::size_t i = 0; i < kLanes; ++i) {
    settings.lanes[i].priority = static_cast<int>(i);
    settings.lanes[i].permits = 1;
  }
  Served served(settings);
  Gate gate;
  Log log;
  Ticket last = served.submit(Lane::speak, [&gate] { gate.pass(); }).ticket;
  for (std::size_t i = kLanes; i-- > 0;) {
    for (int n = 0; n < 2; ++n) {
      served.submit(static_cast<Lane>(i), [&log, i] { log.add(std::to_string(i)); });
    }
  }
  gate.open();
  for (std::size_t i = 0; i < 1 + 2 * kLanes; ++i) {
    check(served.take() != nullptr, "all run");
  }
  check(log.text() == "0011223344", log.text());
}

void a_lane_passed_over_for_long_goes_first() {
  SchedulerSettings settings;
  settings.cores = 1;
  settings.patience = std::chrono::nanoseconds(0);
  for (std::size_t i = 0; i < kLanes; ++i) {
    settings.lanes[i].priority = static_cast<int>(i);
    settings.lanes[i].permits = 1;
  }
  Served served(settings);
  Gate gate;
  Log log;
  served.submit(Lane::listen, [&gate] { gate.pass(); });
  for (const char* name : {"s", "s", "s"}) {
    served.submit(Lane::see, [&log, name] { log.add(name); });
  }
  served.submit(Lane::speak, [&log] { log.add("p"); });
  gate.open();
  for (int i = 0; i < 5; ++i) {
    check(served.take() != nullptr, "all run");
  }
  check(log.text() == "spss", log.text());
}

void jobs_never_hold_more_cores_than_there_are() {
  SchedulerSettings settings;
  settings.cores = 2;
  settings.lanes[0].permits = 1;
  settings.lanes[1].permits = 1;
  settings.lanes[2].permits = 2;
  settings.lanes[3].permits = 8;  // all there are
  settings.lanes[4].permits = 0;  // needs none
  Served served(settings);
  std::atomic<int> held{0};
  std::atomic<bool> over{false};
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      const int permits = std::min(settings.lanes[i].permits, settings.cores);
      served.submit(static_cast<Lane>(i), [&held, &over, permits] {
        if (held.fetch_add(permits) + permits > 2) {
          over = true;
        }
        for (int n = 0; n < 3; ++n) {
          std::this_thread::yield();  // let another begin meanwhile, if it may
        }
        held.fetch_sub(permits);
      });
    }
    for (std::size_t i = 0; i < kLanes; ++i) {
      check(served.take() != nullptr, "all run");
    }
  }
  check(!over, "two cores were enough at any time");
}

std::int64_t fake_now_ns = 1;
std::int64_t fake_now() noexcept { return fake_now_ns; }

void a_missed_deadline_is_counted() {
  SchedulerSettings settings;
  settings.now = &fake_now;
  omnilive::Scheduler scheduler(settings);
  for (const std::int64_t deadline : {10, 30}) {
    scheduler.submit({.lane = Lane::see,
                      .work = std::make_unique<omnilive::test::Call>([] { fake_now_ns += 8; }),
                      .generation = kAgeless,
                      .deadline_ns = deadline,
                      .after = {},
                      .reports = false,
                      .name = {}});
  }
  fake_now_ns = 5;
  scheduler.submit({.lane = Lane::see,
                    .work = std::make_unique<omnilive::test::Call>([&] { scheduler.close(); }),
                    .generation = kAgeless,
                    .deadline_ns = omnilive::kNoDeadline,
                    .after = {},
                    .reports = false,
                    .name = {}});
  scheduler.serve(Lane::see);  // on this thread, until the last job closes it
  const omnilive::LaneFigures figures = scheduler.figures(Lane::see);
  check(figures.done == 3 && figures.missed == 1, "13 is after 10, 21 is not after 30");
  check(figures.waited.longest() == 16 && figures.ran.longest() == 8, "waits and runs");
}

void a_lane_is_served_by_one_thread() {
  Served served;
  Gate started;
  served.submit(Lane::see, [&started] { started.open(); });
  started.pass();
  check_throws<std::logic_error>([&] { served.scheduler.serve(Lane::see); }, "a second one");
}

void closing_lets_the_running_job_end_and_forgets_the_rest() {
  Served served;
  Gate started;
  Gate gate;
  std::atomic<int> ran{0};
  const auto alive = std::make_shared<int>(0);
  served.submit(Lane::see, [&, alive] {
    started.open();
    gate.pass();
    ++ran;
  });
  served.submit(Lane::see, [&, alive] { ++ran; });
  started.pass();
  std::thread closer([&] { served.scheduler.close(); });
  closer.join();
  gate.open();
  served.stop();
  check(ran == 1, "only the first ran");
  check(alive.use_count() == 1, "no job is left");
  check(served.scheduler.serving() == 0 && !served.scheduler.busy(), "no thread either");
  check(served.submit(Lane::see, [] {}).admission == Admission::closed, "and none is taken");
}

void a_ticket_of_another_scheduler_is_refused() {
  Served one;
  Served other;
  const Ticket foreign = other.submit(Lane::see, [] {}).ticket;
  check_throws<std::invalid_argument>([&] { one.submit(Lane::see, [] {}, kAgeless, {foreign}); },
                                      "a foreign ticket");
}

void quantiles_are_within_an_eighth() {
  omnilive::Histogram histogram;
  check(histogram.quantile(0.5) == 0, "nothing yet");
  for (std::int64_t value = 1; value <= 100'000; ++value) {
    histogram.add(value);
  }
  for (const double share : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = share * 100'000;
    const auto found = static_cast<double>(histogram.quantile(share));
    check(found >= exact && found <= exact * 1.125, std::to_string(found));
  }
  histogram.add(std::numeric_limits<std::int64_t>::max());
  check(histogram.longest() == std::numeric_limits<std::int64_t>::max(), "the longest there is");
}

void a_trace_keeps_the_newest() {
  SchedulerSettings settings;
  settings.trace_capacity = 3;
  Served served(settings);
  for (int i = 0; i < 5; ++i) {
    served.submit(Lane::see, [] {});
    check(served.take() != nullptr, "ran");
  }
  const auto spans = served.scheduler.spans();
  check(spans.size() == 3 && served.scheduler.spans_forgotten() == 2, "three of five");
  check(spans[0].id == 3 && spans[2].id == 5, "the last three, in order");
  check(spans[0].submitted_ns <= spans[0].started_ns && spans[0].started_ns <= spans[0].ended_ns,
        "times in order");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"jobs of a lane run in order", jobs_of_a_lane_run_in_order},
      {"a job waits for jobs of other lanes", a_job_waits_for_jobs_of_other_lanes},
      {"what waits for a job that fails never runs", what_waits_for_a_job_that_fails_never_runs},
      {"a full lane refuses or drops its oldest", a_full_lane_refuses_or_drops_its_oldest},
      {"results nobody takes count against the lane", results_nobody_takes_count_against_the_lane},
      {"a stale generation never begins", a_stale_generation_never_begins},
      {"lanes get cores by priority", lanes_get_cores_by_priority},
      {"a lane passed over for long goes first", a_lane_passed_over_for_long_goes_first},
      {"jobs never hold more cores than there are", jobs_never_hold_more_cores_than_there_are},
      {"a missed deadline is counted", a_missed_deadline_is_counted},
      {"a lane is served by one thread", a_lane_is_served_by_one_thread},
      {"closing lets the running job end and forgets the rest",
       closing_lets_the_running_job_end_and_forgets_the_rest},
      {"a ticket of another scheduler is refused", a_ticket_of_another_scheduler_is_refused},
      {"quantiles are within an eighth", quantiles_are_within_an_eighth},
      {"a trace keeps the newest", a_trace_keeps_the_newest},
  });
}
