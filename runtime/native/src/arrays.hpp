// NumPy arrays as the core sees them, and back: checks, views and copies for the bindings.
#pragma once

#include <nanobind/nanobind.h>
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

#include "half.hpp"

// Lets NumPy's float16 through as the core's Half.
template <>
struct nanobind::detail::dtype_traits<omnilive::Half> {
  static constexpr dlpack::dtype value{static_cast<std::uint8_t>(dlpack::dtype_code::Float), 16, 1};
  static constexpr auto name = const_name("float16");
};

namespace omnilive {

// Arrays are taken as they are (`noconvert`): a silent cast would turn int16 PCM into samples
// far outside [-1, 1].
template <typename Scalar, int Dims>
using Input = nanobind::ndarray<const Scalar, nanobind::ndim<Dims>, nanobind::device::cpu>;

// Row-major values of an array: the array's own memory, or a copy when it is strided.
template <typename Scalar, int Dims>
class Dense {
 public:
  explicit Dense(const Input<Scalar, Dims>& array) : values_(array.data(), array.size()) {
    std::int64_t expected = 1;
    bool contiguous = true;
    for (std::size_t axis = Dims; axis-- > 0;) {
      contiguous = contiguous && (array.shape(axis) <= 1 || array.stride(axis) == expected);
      expected *= static_cast<std::int64_t>(array.shape(axis));
    }
    if (!contiguous && !values_.empty()) {
      copy_.reserve(array.size());
      append(array, 0, array.data());
      values_ = copy_;
    }
  }

  [[nodiscard]] std::span<const Scalar> values() const { return values_; }

 private:
  void append(const Input<Scalar, Dims>& array, std::size_t axis, const Scalar* at) {
    for (std::size_t i = 0; i < array.shape(axis); ++i, at += array.stride(axis)) {
      if (axis + 1 == Dims) {
        copy_.push_back(*at);
      } else {
        append(array, axis + 1, at);
      }
    }
  }

  std::vector<Scalar> copy_;
  std::span<const Scalar> values_;
};

// A NumPy array that owns `values`.
template <typename Scalar>
nanobind::ndarray<nanobind::numpy, Scalar> to_numpy(std::vector<Scalar>&& values,
                                                    std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<std::vector<Scalar>>(std::move(values));
  Scalar* data = owned->data();
  nanobind::capsule owner(owned.get(), [](void* p) noexcept {
    const std::unique_ptr<std::vector<Scalar>> returned(static_cast<std::vector<Scalar>*>(p));
  });
  static_cast<void>(owned.release());  // the capsule has it now
  return nanobind::ndarray<nanobind::numpy, Scalar>(data, shape, owner);
}

inline std::size_t size_from(std::int64_t value, const char* name) {
  if (value < 0) {
    throw std::invalid_argument(std::string(name) + " must not be negative, got " +
                                std::to_string(value));
  }
  return static_cast<std::size_t>(value);
}

}  // namespace omnilive
