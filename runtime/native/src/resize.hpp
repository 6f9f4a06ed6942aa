// Resizes 8-bit pictures with an antialiased filter. It knows nothing of models.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "resize_taps.hpp"
#include "simd/isa.hpp"

namespace omnilive {

// Height and width in pixels.
struct Extent {
  std::size_t height;
  std::size_t width;
};

// Squashes or stretches row-major RGB [in.height, in.width, 3] to `out`, each axis on its own, by
// the filter whose support widens with the reduction (so that a reduction averages instead of
// skipping). It is what Pillow's filter of that name gives for the columns and then for the rows,
// but for weights of 16 bits: within 2 of it. Pillow may take the other order, which differs where
// a pass overshoots 0..255. The same bytes by every instruction set.
// Throws std::invalid_argument when a side is 0 or over 65,536 pixels, or when `pixels` has another
// size than `in`.
std::vector<std::uint8_t> resize_rgb(std::span<const std::uint8_t> pixels, Extent in, Extent out,
                                     Filter filter = Filter::kBicubic, Isa isa = best_isa());

// How luma and chroma make a color: the matrix of ITU-R BT.601 or BT.709, and whether 0..255 or
// 16..235 (chroma 16..240) spans black to white.
enum class YuvMatrix { kBt601, kBt709 };
struct YuvFormat {
  YuvMatrix matrix;
  bool full_range;
};

// Resizes NV12, luma [in.height, in.width] and interleaved chroma [ceil(in.height / 2),
// ceil(in.width / 2), 2], to RGB [out.height, out.width, 3]: the planes are resized, and only what
// is left of them is made RGB. Chroma is sited left and between rows, as in H.264 and HEVC.
// Throws as resize_rgb does.
std::vector<std::uint8_t> resize_nv12(std::span<const std::uint8_t> luma,
                                      std::span<const std::uint8_t> chroma, Extent in, Extent out,
                                      YuvFormat format, Filter filter = Filter::kBicubic,
                                      Isa isa = best_isa());

// RGB [size.height, size.width, 3] as float planes [3, size.height, size.width]:
// (value / 255 - mean) / deviation per channel, in float32.
// Throws std::invalid_argument when `pixels` has another size than `size`.
std::vector<float> normalized_planes(std::span<const std::uint8_t> pixels, Extent size,
                                     const std::array<float, 3>& mean,
                                     const std::array<float, 3>& deviation, Isa isa = best_isa());

}  // namespace omnilive
