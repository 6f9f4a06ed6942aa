#include "lanes/inbox.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

namespace omnilive {

namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

Inbox::Inbox() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
}

Inbox::~Inbox() { close(descriptor_); }

void Inbox::put(Arrival arrival) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(std::move(arrival));
    wake = std::exchange(asleep_, false);
  }
  if (wake) {
    // The counter cannot overflow: it is written once per sleep.
    static_cast<void>(eventfd_write(descriptor_, 1));
  }
}

Inbox::Waited Inbox::take(Arrival& arrival, std::chrono::nanoseconds longest) {
  if (pop(arrival)) {
    return Waited::arrived;
  }
  const auto until = std::chrono::steady_clock::now() + longest;
  while (true) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds::zero()) {
      return Waited::timed_out;
    }
    {
      const std::lock_guard lock(mutex_);
      asleep_ = arrivals_.empty();
    }
    if (pop(arrival)) {
      return Waited::arrived;
    }
    const std::int64_t ns = std::chrono::nanoseconds(left).count();
    const timespec timeout{static_cast<std::time_t>(ns / kNsPerSecond),
                           static_cast<long>(ns % kNsPerSecond)};
    pollfd polled{descriptor_, POLLIN, 0};
    const int ready = ppoll(&polled, 1, &timeout, nullptr);
    const int error = errno;
    eventfd_t woken = 0;
    if (ready > 0) {
      static_cast<void>(eventfd_read(descriptor_, &woken));
    }
    if (pop(arrival)) {
      return Waited::arrived;
    }
    if (ready < 0 && error == EINTR) {
      return Waited::interrupted;
    }
  }
}

std::deque<Arrival> Inbox::clear() {
  std::deque<Arrival> taken;
  const std::lock_guard lock(mutex_);
  taken.swap(arrivals_);
  return taken;
}

bool Inbox::pop(Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  if (arrivals_.empty()) {
    return false;
  }
  asleep_ = false;
  arrival = std::move(arrivals_.front());
  arrivals_.pop_front();
  return true;
}

}  // namespace omnilive
