// The Python face of the lanes. The GIL is taken on a lane's thread to call a Python job and for
// nothing else; it is never waited for while a lock of the scheduler is held.
#include "lanes_bindings.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lane_works.hpp"
#include "lanes/scheduler.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using omnilive::Admission;
using omnilive::AllNeeds;
using omnilive::JobState;
using omnilive::kAgeless;
using omnilive::kLanes;
using omnilive::Lane;
using omnilive::NativeJob;
using omnilive::NativeWork;
using omnilive::Needs;
using omnilive::OwnedWork;
using omnilive::Posted;
using omnilive::PythonWork;
using omnilive::Ticket;

Lane lane_from(std::size_t index) {
  if (index >= kLanes) {
    throw nb::index_error("there are five lanes");
  }
  return static_cast<Lane>(index);
}

// A ticket as Python holds it; the lanes never share this object.
struct PyTicket {
  Ticket job;
};

nb::object or_none(nb::object object) { return object.is_valid() ? std::move(object) : nb::none(); }

// A job that has ended, as the host sees it: owner, value, error, and whether it was dropped. A
// plain tuple, since an error's traceback leads back to it: the collector must see the cycle.
nb::tuple outcome_of(omnilive::Job& job) {
  auto& work = static_cast<OwnedWork&>(*job.work);  // the lanes get no other from here
  const JobState state = job.state.load(std::memory_order_acquire);
  nb::object value = or_none(state == JobState::done ? work.take_value() : nb::object());
  nb::object error = or_none(work.take_error(job.error));
  return nb::make_tuple(or_none(work.take_owner()), value, error, state == JobState::dropped);
}

// The owners of those among `jobs` that have one.
nb::list owners_of(const std::vector<Ticket>& jobs) {
  nb::list owners;
  for (const Ticket& job : jobs) {
    nb::object owner = static_cast<OwnedWork&>(*job->work).take_owner();
    if (owner.is_valid()) {
      owners.append(owner);
    }
  }
  return owners;
}

// Cores as Python holds them: its own number of them, or those shared with other schedulers.
struct LaneCores {
  std::shared_ptr<omnilive::CorePool> pool;
};

using Cores = std::variant<int, LaneCores>;

class PyScheduler {
 public:
  PyScheduler(const std::vector<std::size_t>& capacities, const std::vector<bool>& drop_oldest,
              const std::vector<int>& priorities, const std::vector<int>& permits,
              const Cores& cores, std::int64_t spin_us, std::int64_t patience_us,
              std::size_t trace_capacity, std::string ranges_library,
              const std::vector<int>& urgencies)
      : needs_(std::make_shared<AllNeeds>()),
        scheduler_(settings(capacities, drop_oldest, priorities, permits, cores, spin_us,
                            patience_us, trace_capacity, std::move(ranges_library), urgencies)) {}

  nb::tuple submit(std::size_t lane, nb::object owner, nb::object call,
                   std::optional<std::int64_t> generation, std::optional<std::int64_t> deadline_ns,
                   const std::vector<PyTicket>& after, std::string name) {
    return admitted(lane,
                    std::make_unique<PythonWork>(std::move(owner), std::move(call), needs(lane)),
                    generation, deadline_ns, after, true, std::move(name));
  }

  nb::tuple submit_native(std::size_t lane, const NativeJob& job,
                          std::optional<std::int64_t> generation,
                          std::optional<std::int64_t> deadline_ns,
                          const std::vector<PyTicket>& after, std::string name, bool reports,
                          nb::object owner) {
    if (owner.is_none()) {
      owner.reset();
    }
    return admitted(lane, std::make_unique<NativeWork>(std::move(owner), job.runnable, needs(lane)),
                    generation, deadline_ns, after, reports, std::move(name));
  }

  nb::list cancel_before(std::int64_t generation) {
    return owners_of(scheduler_.cancel_before(generation));
  }

  std::size_t load(std::size_t lane) const { return scheduler_.load(lane_from(lane)); }
  bool busy() const { return scheduler_.busy(); }

  // Releases the GIL for good: jobs of Python take it for as long as they run.
  void serve(std::size_t lane) {
    const Lane served = lane_from(lane);
    const nb::gil_scoped_release released;
    scheduler_.serve(served);
  }

  // Waits without the GIL.
  nb::object take(std::int64_t longest_us) {
    omnilive::Arrival arrival;
    omnilive::Inbox::Waited waited{};
    {
      const nb::gil_scoped_release released;
      waited = scheduler_.take(arrival, std::chrono::microseconds(longest_us));
    }
    if (waited == omnilive::Inbox::Waited::interrupted && PyErr_CheckSignals() != 0) {
      throw nb::python_error();
    }
    if (waited != omnilive::Inbox::Waited::arrived) {
      return nb::none();
    }
    if (auto* message = std::get_if<std::unique_ptr<omnilive::Message>>(&arrival)) {
      return static_cast<Posted&>(**message).take();
    }
    return outcome_of(*std::get<Ticket>(arrival));
  }

  void post(nb::object call) { scheduler_.post(std::make_unique<Posted>(std::move(call))); }
  void close() { scheduler_.close(); }
  std::size_t serving() const { return scheduler_.serving(); }
  std::uint64_t gil_taken() const {
    std::uint64_t taken = 0;
    for (const Needs& lane : *needs_) {
      taken += lane.gil.load(std::memory_order_relaxed);
    }
    return taken;
  }

  nb::dict figures(std::size_t lane) const {
    const omnilive::LaneFigures found = scheduler_.figures(lane_from(lane));
    nb::dict figures;
    figures["submitted"] = found.submitted;
    figures["done"] = found.done;
    figures["failed"] = found.failed;
    figures["missed"] = found.missed;
    figures["dropped"] = found.dropped;
    figures["cancelled"] = found.cancelled;
    const std::shared_ptr<Needs> needed = needs(lane);
    figures["gil_taken"] = needed->gil.load(std::memory_order_relaxed);
    figures["native"] = needed->native.load(std::memory_order_relaxed);
    figures["waited_ns"] = quantiles(found.waited);
    figures["ran_ns"] = quantiles(found.ran);
    return figures;
  }

  nb::tuple durations(std::size_t lane, const std::vector<std::uint64_t>& bounds_ns) const {
    const omnilive::LaneFigures found = scheduler_.figures(lane_from(lane));
    return nb::make_tuple(counted(found.waited, bounds_ns), counted(found.ran, bounds_ns));
  }

  nb::list spans() const {
    nb::list spans;
    for (const omnilive::Span& span : scheduler_.spans()) {
      spans.append(nb::make_tuple(
          span.id, static_cast<std::size_t>(span.lane), span.name, state_name(span.state),
          span.generation == kAgeless ? nb::none() : nb::object(nb::int_(span.generation)),
          span.submitted_ns, span.started_ns, span.ended_ns));
    }
    return spans;
  }
  std::uint64_t spans_forgotten() const { return scheduler_.spans_forgotten(); }

  static const char* state_name(JobState state) {
    switch (state) {
      case JobState::waiting:
        return "waiting";
      case JobState::running:
        return "running";
      case JobState::done:
        return "done";
      case JobState::failed:
        return "failed";
      case JobState::dropped:
        return "dropped";
    }
    return "";
  }

 private:
  static omnilive::SchedulerSettings settings(
      const std::vector<std::size_t>& capacities, const std::vector<bool>& drop_oldest,
      const std::vector<int>& priorities, const std::vector<int>& permits, const Cores& cores,
      std::int64_t spin_us, std::int64_t patience_us, std::size_t trace_capacity,
      std::string ranges_library, const std::vector<int>& urgencies) {
    if (capacities.size() != kLanes || drop_oldest.size() != kLanes ||
        priorities.size() != kLanes || permits.size() != kLanes ||
        (!urgencies.empty() && urgencies.size() != kLanes)) {
      throw std::invalid_argument("each setting of a lane is given for all five");
    }
    omnilive::SchedulerSettings result;
    for (std::size_t i = 0; i < kLanes; ++i) {
      result.lanes[i] = {
          capacities[i],
          drop_oldest[i] ? omnilive::FullPolicy::drop_oldest : omnilive::FullPolicy::refuse,
          priorities[i], urgencies.empty() ? 0 : urgencies[i], permits[i]};
    }
    if (const auto* shared = std::get_if<LaneCores>(&cores)) {
      result.pool = shared->pool;
    } else {
      result.cores = std::get<int>(cores);
    }
    result.spin = std::chrono::microseconds(spin_us);
    result.patience = std::chrono::microseconds(patience_us);
    result.trace_capacity = trace_capacity;
    result.ranges_library = std::move(ranges_library);
    return result;
  }

  [[nodiscard]] std::shared_ptr<Needs> needs(std::size_t lane) const {
    return {needs_, &(*needs_)[omnilive::index_of(lane_from(lane))]};
  }

  nb::tuple admitted(std::size_t lane, std::unique_ptr<omnilive::Work> work,
                     std::optional<std::int64_t> generation,
                     std::optional<std::int64_t> deadline_ns, const std::vector<PyTicket>& after,
                     bool reports, std::string name) {
    std::vector<Ticket> before;
    before.reserve(after.size());
    for (const PyTicket& ticket : after) {
      before.push_back(ticket.job);
    }
    const omnilive::Submission result =
        scheduler_.submit({.lane = lane_from(lane),
                           .work = std::move(work),
                           .generation = generation.value_or(kAgeless),
                           .deadline_ns = deadline_ns.value_or(omnilive::kNoDeadline),
                           .after = before,
                           .reports = reports,
                           .name = std::move(name)});
    const nb::object ticket = result.ticket ? nb::cast(PyTicket{result.ticket})
                                            : nb::object(nb::str(refusal(result.admission)));
    return nb::make_tuple(ticket, owners_of(result.dropped));
  }

  static const char* refusal(Admission admission) {
    switch (admission) {
      case Admission::full:
        return "full";
      case Admission::stale:
        return "stale";
      case Admission::closed:
        return "closed";
      case Admission::taken:
        break;
    }
    return "taken";
  }

  static nb::tuple counted(const omnilive::Histogram& histogram,
                           const std::vector<std::uint64_t>& bounds_ns) {
    nb::list until;
    for (const std::uint64_t bound : bounds_ns) {
      until.append(histogram.until(bound));
    }
    return nb::make_tuple(until, histogram.count(), histogram.sum());
  }

  static nb::dict quantiles(const omnilive::Histogram& histogram) {
    nb::dict found;
    found["n"] = histogram.count();
    found["p50"] = histogram.quantile(0.5);
    found["p90"] = histogram.quantile(0.9);
    found["p99"] = histogram.quantile(0.99);
    found["max"] = histogram.longest();
    return found;
  }

  std::shared_ptr<AllNeeds> needs_;
  omnilive::Scheduler scheduler_;
};

}  // namespace

namespace omnilive {

// Signatures and docstrings are in runtime/omnilive/_native.pyi.
void bind_lanes(nb::module_& module) {
  nb::class_<NativeJob>(module, "NativeJob").def("run", [](const NativeJob& job) {
    const nb::gil_scoped_release released;
    try {
      job.runnable->run();
    } catch (const std::exception& error) {
      throw std::runtime_error(error.what());  // one kind, as on a lane
    }
  });
  module.def("noop_job", [] { return NativeJob{std::make_shared<Noop>()}; });
  module.def(
      "chain_jobs",
      [](const std::vector<NativeJob>& jobs) {
        std::vector<std::shared_ptr<Runnable>> links;
        links.reserve(jobs.size());
        for (const NativeJob& job : jobs) {
          links.push_back(job.runnable);
        }
        return NativeJob{std::make_shared<Chain>(std::move(links))};
      },
      "jobs"_a);

  nb::class_<PyTicket>(module, "LaneTicket")
      .def_prop_ro(
          "state",
          [](const PyTicket& ticket) {
            return PyScheduler::state_name(ticket.job->state.load(std::memory_order_acquire));
          })
      .def_prop_ro("times_ns", [](const PyTicket& ticket) -> std::optional<nb::tuple> {
        if (!ticket.job->settled()) {
          return std::nullopt;
        }
        return nb::make_tuple(ticket.job->submitted_ns, ticket.job->started_ns,
                              ticket.job->ended_ns);
      });

  nb::class_<LaneCores>(module, "LaneCores")
      .def(
          "__init__",
          [](LaneCores* self, int cores) {
            new (self) LaneCores{std::make_shared<CorePool>(cores)};
          },
          "cores"_a)
      .def_prop_ro("cores", [](const LaneCores& cores) { return cores.pool->cores(); })
      .def_prop_ro("free", [](const LaneCores& cores) { return cores.pool->free_cores(); })
      .def_prop_ro("members", [](const LaneCores& cores) { return cores.pool->members(); });

  nb::class_<PyScheduler>(module, "LaneScheduler")
      .def(nb::init<const std::vector<std::size_t>&, const std::vector<bool>&,
                    const std::vector<int>&, const std::vector<int>&, const Cores&, std::int64_t,
                    std::int64_t, std::size_t, std::string, const std::vector<int>&>(),
           nb::kw_only(), "capacities"_a, "drop_oldest"_a, "priorities"_a, "permits"_a,
           "cores"_a = Cores(0), "spin_us"_a = 50, "patience_us"_a = 1'000'000,
           "trace_capacity"_a = 0, "ranges_library"_a = "", "urgencies"_a = std::vector<int>{})
      .def("submit", &PyScheduler::submit, "lane"_a, "owner"_a.none(), "call"_a,
           "generation"_a = nb::none(), "deadline_ns"_a = nb::none(),
           "after"_a = std::vector<PyTicket>{}, "name"_a = "")
      .def("submit_native", &PyScheduler::submit_native, "lane"_a, "job"_a,
           "generation"_a = nb::none(), "deadline_ns"_a = nb::none(),
           "after"_a = std::vector<PyTicket>{}, "name"_a = "", "reports"_a = false,
           "owner"_a = nb::none())
      .def("cancel_before", &PyScheduler::cancel_before, "generation"_a)
      .def("load", &PyScheduler::load, "lane"_a)
      .def_prop_ro("busy", &PyScheduler::busy)
      .def("serve", &PyScheduler::serve, "lane"_a)
      .def("take", &PyScheduler::take, "longest_us"_a)
      .def("post", &PyScheduler::post, "call"_a)
      .def("close", &PyScheduler::close)
      .def_prop_ro("serving", &PyScheduler::serving)
      .def_prop_ro("gil_taken", &PyScheduler::gil_taken)
      .def("figures", &PyScheduler::figures, "lane"_a)
      .def("durations", &PyScheduler::durations, "lane"_a, "bounds_ns"_a)
      .def("spans", &PyScheduler::spans)
      .def_prop_ro("spans_forgotten", &PyScheduler::spans_forgotten);
}

}  // namespace omnilive
