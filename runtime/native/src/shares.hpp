// Splits a pass over memory between threads that live as long as the pass.
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <thread>
#include <vector>

namespace omnilive {

// Calls `part(begin, end)` for neighbouring stretches of [0, count), one per thread, the first in
// the calling thread; returns when all are done. A stretch has at least `least` items, but for the
// only one: starting a thread costs what reading some hundred kilobytes does. `part` must not
// throw. Throws std::invalid_argument when `threads` is 0.
template <typename Part>
void in_shares(std::size_t count, std::size_t threads, std::size_t least, const Part& part) {
  if (threads == 0) {
    throw std::invalid_argument("the threads must be at least 1");
  }
  const std::size_t shares =
      std::clamp<std::size_t>(count / std::max<std::size_t>(least, 1), 1, threads);
  const auto begin = [&](std::size_t share) { return count / shares * share; };
  const auto end = [&](std::size_t share) {
    return share + 1 == shares ? count : begin(share + 1);
  };
  std::vector<std::jthread> helpers;
  helpers.reserve(shares - 1);
  for (std::size_t share = 1; share < shares; ++share) {
    helpers.emplace_back([&, share] { part(begin(share), end(share)); });
  }
  part(begin(0), end(0));
}

}  // namespace omnilive
