// The Python face of block quantization: checks, views and conversions only.
// Every call releases the GIL while it works and takes it back to build its result.
#include "quantize_bindings.hpp"

#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "quantize_blocks.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace omnilive {
namespace {

using Weights = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Factors = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename Scalar>
nb::object to_numpy(std::vector<Scalar>&& values, std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<std::vector<Scalar>>(std::move(values));
  Scalar* data = owned->data();
  nb::capsule owner(owned.get(), [](void* p) noexcept {
    const std::unique_ptr<std::vector<Scalar>> returned(static_cast<std::vector<Scalar>*>(p));
  });
  static_cast<void>(owned.release());  // the capsule has it now
  return nb::cast(nb::ndarray<nb::numpy, Scalar>(data, shape, owner));
}

std::size_t positive(std::int64_t value, const char* name) {
  if (value < 1) {
    throw std::invalid_argument(std::string(name) + " must be at least 1, got " +
                                std::to_string(value));
  }
  return static_cast<std::size_t>(value);
}

// Quantizes with `work(weights, grid, threads)`: (packed, scales, zero points or None).
template <typename Work>
nb::tuple quantized(const Weights& weights, std::int64_t bits, std::int64_t block, bool symmetric,
                    std::int64_t threads, const Work& work) {
  const WeightRows rows{{weights.data(), weights.size()}, weights.shape(0), weights.shape(1)};
  const BlockGrid grid{positive(bits, "bits"), positive(block, "block"), symmetric};
  const std::size_t workers = positive(threads, "threads");
  QuantizedRows found;
  {
    const nb::gil_scoped_release released;
    found = work(rows, grid, workers);
  }
  const std::size_t blocks = grid.blocks(rows.width);
  nb::object zeros = nb::none();
  if (!symmetric) {
    zeros = to_numpy(std::move(found.zero_points), {rows.count, grid.zero_point_bytes(rows.width)});
  }
  return nb::make_tuple(
      to_numpy(std::move(found.packed), {rows.count, blocks, grid.packed_bytes()}),
      to_numpy(std::move(found.scales), {rows.count, blocks}), zeros);
}

nb::tuple nearest(const Weights& weights, std::int64_t bits, std::int64_t block, bool symmetric,
                  std::int64_t threads) {
  return quantized(weights, bits, block, symmetric, threads, quantize_nearest);
}

nb::tuple half_quadratic(const Weights& weights, std::int64_t block, bool symmetric,
                         std::int64_t threads) {
  return quantized(weights, 4, block, symmetric, threads, quantize_half_quadratic);
}

nb::tuple calibrated(const Weights& weights, const Factors& factors, std::int64_t block,
                     bool symmetric, std::int64_t threads) {
  if (factors.shape(1) != factors.shape(2)) {
    throw std::invalid_argument("factors must be [groups, width, width]");
  }
  const Feedback feedback{{factors.data(), factors.size()}, factors.shape(1)};
  const auto work = [&](const WeightRows& rows, const BlockGrid& grid, std::size_t workers) {
    return quantize_calibrated(rows, grid, feedback, workers);
  };
  return quantized(weights, 4, block, symmetric, threads, work);
}

}  // namespace

void bind_quantize(nb::module_& module) {
  module.def("quantize_nearest", &nearest, nb::arg("weights").noconvert(), nb::kw_only(), "bits"_a,
             "block"_a, "symmetric"_a, "threads"_a);
  module.def("quantize_half_quadratic", &half_quadratic, nb::arg("weights").noconvert(),
             nb::kw_only(), "block"_a, "symmetric"_a, "threads"_a);
  module.def("quantize_calibrated", &calibrated, nb::arg("weights").noconvert(),
             nb::arg("factors").noconvert(), nb::kw_only(), "block"_a, "symmetric"_a, "threads"_a);
}

}  // namespace omnilive
