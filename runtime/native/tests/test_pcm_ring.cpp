// Tests the PCM ring against a plain list of everything ever pushed.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "pcm_ring.hpp"

using omnilive::PcmRing;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

// Samples whose value is their absolute index: exact in float32 below 2^24.
std::vector<float> numbered(std::uint64_t first, std::size_t count) {
  std::vector<float> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    samples[i] = static_cast<float>(first + i);
  }
  return samples;
}

void any_sequence_of_pushes_reads_back() {
  std::mt19937 random(7);
  for (const std::size_t capacity : {1U, 2U, 7U, 64U}) {
    PcmRing ring(capacity);
    std::uint64_t written = 0;
    for (int step = 0; step < 300; ++step) {
      const std::size_t count = random() % (2 * capacity + 1);
      ring.push(numbered(written, count));
      written += count;
      const std::uint64_t oldest = written - std::min<std::uint64_t>(written, capacity);
      check(ring.written() == written, "written");
      check(ring.oldest() == oldest, "oldest");
      check(ring.size() == written - oldest, "size");
      const std::uint64_t start = oldest + random() % (ring.size() + 1);
      const std::size_t wanted = random() % (written - start + 1);
      check(ring.read(start, wanted) == numbered(start, wanted), "samples");
    }
  }
}

void what_is_not_held_is_refused() {
  PcmRing ring(4);
  ring.push(numbered(0, 6));
  check_throws<std::out_of_range>([&] { static_cast<void>(ring.read(1, 2)); },
                                  "an overwritten sample was read");
  check_throws<std::out_of_range>([&] { static_cast<void>(ring.read(5, 2)); },
                                  "a future sample was read");
  check_throws<std::out_of_range>([&] { static_cast<void>(ring.read(7, 0)); },
                                  "a start in the future was accepted");
  check_throws<std::out_of_range>(
      [&] { static_cast<void>(ring.read(3, std::numeric_limits<std::size_t>::max())); },
      "an overflow was accepted");
  check(ring.read(6, 0).empty(), "an empty read at the end");
}

void a_reader_never_sees_a_torn_block() {
  constexpr std::size_t kCapacity = 256;
  constexpr std::uint64_t kTotal = 200'000;
  PcmRing ring(kCapacity);
  std::atomic<bool> torn = false;
  std::jthread reader([&] {
    while (ring.written() < kTotal) {
      const std::uint64_t start = ring.oldest();
      const auto count = static_cast<std::size_t>(ring.written() - start) / 2;
      try {
        torn = torn || ring.read(start, count) != numbered(start, count);
      } catch (const std::out_of_range&) {
        // The writer overtook this reader between the two calls, and the ring said so.
        continue;
      }
    }
  });
  for (std::uint64_t written = 0; written < kTotal; written += 100) {
    ring.push(numbered(written, 100));
  }
  reader.join();
  check(!torn, "samples of two pushes were mixed");
}

void a_ring_without_room_is_refused() {
  check_throws<std::invalid_argument>([] { PcmRing ring(0); }, "capacity 0 was accepted");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"any sequence of pushes reads back by absolute index", any_sequence_of_pushes_reads_back},
      {"what is overwritten or not yet written is refused", what_is_not_held_is_refused},
      {"a reader beside a writer never sees a torn block", a_reader_never_sees_a_torn_block},
      {"a ring without room is refused", a_ring_without_room_is_refused},
  });
}
