// Resizes 8-bit RGB pictures with an antialiased bicubic filter. It knows nothing of models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace omnilive {

// Height and width in pixels.
struct Extent {
  std::size_t height;
  std::size_t width;
};

// Squashes or stretches row-major RGB [in.height, in.width, 3] to `out`, each axis on its own, by
// the cubic convolution kernel with a = -0.5 whose support widens with the reduction (so that a
// reduction averages instead of skipping). The arithmetic is that of Pillow's BICUBIC, columns
// before rows; Pillow may take the other order, which differs where a pass overshoots 0..255.
// Throws std::invalid_argument when a side is 0 or over 65,536 pixels, or when `pixels` has another
// size than `in`.
std::vector<std::uint8_t> resize_rgb(std::span<const std::uint8_t> pixels, Extent in, Extent out);

}  // namespace omnilive
