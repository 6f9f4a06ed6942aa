// Tests the resampler on pictures whose result is known without a second resampler.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.hpp"
#include "resize.hpp"

using omnilive::Extent;
using omnilive::resize_nv12;
using omnilive::resize_rgb;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

using Pixels = std::vector<std::uint8_t>;

Pixels noise(Extent size) {
  std::mt19937 random(5);
  Pixels pixels(size.height * size.width * 3);
  std::generate(pixels.begin(), pixels.end(), [&] { return static_cast<std::uint8_t>(random()); });
  return pixels;
}

Pixels mirrored(const Pixels& pixels, Extent size) {
  Pixels result(pixels.size());
  for (std::size_t y = 0; y < size.height; ++y) {
    for (std::size_t x = 0; x < size.width; ++x) {
      const std::size_t from = (y * size.width + x) * 3;
      const std::size_t to = (y * size.width + size.width - 1 - x) * 3;
      std::copy_n(pixels.begin() + static_cast<std::ptrdiff_t>(from), 3,
                  result.begin() + static_cast<std::ptrdiff_t>(to));
    }
  }
  return result;
}

void same_size_is_the_same_picture() {
  const Extent size{9, 14};
  check(resize_rgb(noise(size), size, size) == noise(size), "pixels");
}

void a_flat_picture_stays_flat() {
  const Extent in{37, 53};
  Pixels flat(in.height * in.width * 3);
  for (std::size_t i = 0; i < flat.size(); ++i) {
    flat[i] = std::vector<std::uint8_t>{0, 127, 255}[i % 3];
  }
  for (const Extent out : {Extent{1, 1}, Extent{5, 200}, Extent{100, 3}, Extent{36, 54}}) {
    const Pixels result = resize_rgb(flat, in, out);
    check(result.size() == out.height * out.width * 3, "size");
    for (std::size_t i = 0; i < result.size(); ++i) {
      check(result[i] == flat[i % 3], "value");
    }
  }
}

void the_weights_of_a_position_add_up_to_one() {
  for (const omnilive::Filter filter : {omnilive::Filter::kBicubic, omnilive::Filter::kBilinear}) {
    for (const std::size_t in : {1U, 2U, 7U, 100U, 5000U}) {
      for (const std::size_t out : {1U, 3U, 99U}) {
        const omnilive::Taps taps = make_taps(filter, in, out, {0.0, static_cast<double>(in)});
        for (std::size_t o = 0; o < out; ++o) {
          const auto [first, count] = taps.windows[o];
          check(count > 0 && first + count <= in, "the window lies in the source");
          std::int64_t sum = 0;
          std::int64_t magnitude = 0;
          for (std::size_t i = 0; i < count; ++i) {
            sum += taps.at(o)[i];
            magnitude += std::abs(taps.at(o)[i]);
          }
          check(sum == std::int64_t{1} << taps.shift, "sum");
          check(255 * magnitude < (std::int64_t{1} << 31) - (std::int64_t{1} << taps.shift),
                "the sums of a blend fit");
        }
      }
    }
  }
}

void a_mirrored_picture_gives_a_mirrored_result() {
  const Extent in{20, 41};
  for (const Extent out : {Extent{8, 16}, Extent{33, 64}}) {
    const Pixels straight = resize_rgb(noise(in), in, out);
    const Pixels turned = resize_rgb(mirrored(noise(in), in), in, out);
    const Pixels expected = mirrored(straight, out);
    for (std::size_t i = 0; i < turned.size(); ++i) {
      check(std::abs(turned[i] - expected[i]) <= 1, "mirrored within rounding");
    }
  }
}

void a_reduction_averages_instead_of_skipping() {
  const Extent in{64, 64};
  Pixels board(in.height * in.width * 3);
  for (std::size_t i = 0; i < board.size(); ++i) {
    board[i] = (i / 3 + i / (3 * in.width)) % 2 == 0 ? 0 : 255;
  }
  for (const std::uint8_t value : resize_rgb(board, in, {8, 8})) {
    check(value >= 120 && value <= 135, "a checkerboard reduces to grey");
  }
}

void overshoot_is_clipped() {
  const Extent in{1, 4};
  const Pixels edge = {0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255};
  const Pixels result = resize_rgb(edge, in, {1, 16});
  for (std::size_t x = 1; x < 16; ++x) {
    check(result[x * 3] >= result[x * 3 - 3], "a rising edge rises: nothing wrapped around");
  }
  check(result.front() == 0 && result.back() == 255, "ends");
}

void every_instruction_set_gives_the_same_picture() {
  const Extent in{61, 83};
  const Pixels rgb = noise(in);
  const Pixels luma(rgb.begin(), rgb.begin() + 61 * 83);
  const Pixels chroma(rgb.begin(), rgb.begin() + 31 * 42 * 2);
  const omnilive::YuvFormat format{omnilive::YuvMatrix::kBt709, false};
  const auto filter = omnilive::Filter::kBilinear;
  for (const Extent out : {Extent{20, 30}, Extent{100, 31}, Extent{1, 200}}) {
    const Pixels resized = resize_rgb(rgb, in, out, filter, omnilive::Isa::kPortable);
    const Pixels converted =
        resize_nv12(luma, chroma, in, out, format, filter, omnilive::Isa::kPortable);
    for (const omnilive::Isa isa : omnilive::usable_isas()) {
      check(resize_rgb(rgb, in, out, filter, isa) == resized, "RGB");
      check(resize_nv12(luma, chroma, in, out, format, filter, isa) == converted, "NV12");
    }
  }
}

void neutral_chroma_is_grey_from_black_to_white() {
  const Extent in{4, 6};
  const Pixels chroma(2 * 3 * 2, 128);
  for (const auto& [luma, grey] : {std::pair{16, 0}, std::pair{235, 255}, std::pair{126, 128}}) {
    const Pixels plane(4 * 6, static_cast<std::uint8_t>(luma));
    for (const auto matrix : {omnilive::YuvMatrix::kBt601, omnilive::YuvMatrix::kBt709}) {
      for (const std::uint8_t value :
           resize_nv12(plane, chroma, in, {3, 3}, omnilive::YuvFormat{matrix, false})) {
        check(value == grey, "grey");
      }
    }
  }
}

void what_is_no_picture_is_refused() {
  const Pixels pixel(3);
  check_throws<std::invalid_argument>([&] { resize_rgb(pixel, {1, 1}, {0, 1}); }, "height 0");
  check_throws<std::invalid_argument>([&] { resize_rgb(pixel, {1, 1}, {1, std::size_t{1} << 62}); },
                                      "a side whose size in bytes overflows");
  check_throws<std::invalid_argument>([&] { resize_rgb({}, {0, 1}, {1, 1}); }, "no pixels");
  check_throws<std::invalid_argument>([&] { resize_rgb(pixel, {1, 2}, {1, 1}); }, "too few pixels");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"the same size is the same picture", same_size_is_the_same_picture},
      {"a flat picture stays flat", a_flat_picture_stays_flat},
      {"the weights of a position add up to one, and no sum overflows",
       the_weights_of_a_position_add_up_to_one},
      {"a mirrored picture gives a mirrored result", a_mirrored_picture_gives_a_mirrored_result},
      {"a reduction averages instead of skipping", a_reduction_averages_instead_of_skipping},
      {"overshoot is clipped", overshoot_is_clipped},
      {"every instruction set gives the same picture",
       every_instruction_set_gives_the_same_picture},
      {"neutral chroma is grey from black to white", neutral_chroma_is_grey_from_black_to_white},
      {"what is no picture is refused", what_is_no_picture_is_refused},
  });
}
