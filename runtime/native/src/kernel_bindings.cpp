// The Python face of the kernels. `isa` names the instruction set to use, None the best one.
#include "kernel_bindings.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "resize.hpp"
#include "sampling.hpp"
#include "simd/isa.hpp"
#include "topk_cosine.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace omnilive {
namespace {

using IsaName = std::optional<std::string>;
using Pixels = nb::ndarray<nb::numpy, std::uint8_t>;

Isa isa_from(const IsaName& name) { return name ? isa_named(*name) : best_isa(); }

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Isa isa : usable_isas()) {
    names.emplace_back(name_of(isa));
  }
  return names;
}

Filter filter_from(const std::string& name) {
  if (name == "bicubic") {
    return Filter::kBicubic;
  }
  if (name == "bilinear") {
    return Filter::kBilinear;
  }
  throw std::invalid_argument("filter must be 'bicubic' or 'bilinear', got '" + name + "'");
}

YuvMatrix matrix_from(const std::string& name) {
  if (name == "bt601") {
    return YuvMatrix::kBt601;
  }
  if (name == "bt709") {
    return YuvMatrix::kBt709;
  }
  throw std::invalid_argument("matrix must be 'bt601' or 'bt709', got '" + name + "'");
}

Extent extent_from(std::int64_t height, std::int64_t width) {
  return {size_from(height, "out_h"), size_from(width, "out_w")};
}

void check_last_axis(std::size_t found, std::size_t wanted, const char* what) {
  if (found != wanted) {
    throw std::invalid_argument(std::string(what) + " must have a last axis of " +
                                std::to_string(wanted) + ", its last axis has " +
                                std::to_string(found));
  }
}

template <typename Scalar>
nb::tuple rank_rows(const Input<float, 1>& query, const Input<Scalar, 2>& rows, std::int64_t k,
                    std::int64_t threads, const IsaName& isa) {
  const std::size_t wanted = size_from(k, "k");
  const std::size_t readers = size_from(threads, "threads");
  const Isa used = isa_from(isa);
  Ranking best;
  {
    const nb::gil_scoped_release released;
    const Dense<float, 1> dense_query(query);
    const Dense<Scalar, 2> dense_rows(rows);
    best = topk_cosine(dense_query.values(),
                       Rows<Scalar>{dense_rows.values(), rows.shape(0), rows.shape(1)}, wanted,
                       readers, used);
  }
  const std::size_t found = best.indices.size();
  return nb::make_tuple(to_numpy(std::move(best.indices), {found}),
                        to_numpy(std::move(best.scores), {found}));
}

std::uint64_t sum_array(
    const nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>& words,
    std::int64_t threads, const IsaName& isa) {
  const std::size_t readers = size_from(threads, "threads");
  const Isa used = isa_from(isa);
  const nb::gil_scoped_release released;
  return sum_words({words.data(), words.size()}, readers, used);
}

Pixels resize_picture(const Input<std::uint8_t, 3>& rgb, std::int64_t out_h, std::int64_t out_w,
                      const std::string& filter, const IsaName& isa) {
  const Filter kernel = filter_from(filter);
  check_last_axis(rgb.shape(2), 3, "rgb");
  const Extent in{rgb.shape(0), rgb.shape(1)};
  const Extent out = extent_from(out_h, out_w);
  const Isa used = isa_from(isa);
  std::vector<std::uint8_t> pixels;
  {
    const nb::gil_scoped_release released;
    pixels = resize_rgb(Dense<std::uint8_t, 3>(rgb).values(), in, out, kernel, used);
  }
  return to_numpy(std::move(pixels), {out.height, out.width, std::size_t{3}});
}

Pixels resize_planes(const Input<std::uint8_t, 2>& luma, const Input<std::uint8_t, 3>& chroma,
                     std::int64_t out_h, std::int64_t out_w, const std::string& matrix,
                     bool full_range, const std::string& filter, const IsaName& isa) {
  const Filter kernel = filter_from(filter);
  const YuvFormat format{matrix_from(matrix), full_range};
  check_last_axis(chroma.shape(2), 2, "chroma");
  const Extent in{luma.shape(0), luma.shape(1)};
  if (chroma.shape(0) != (in.height + 1) / 2 || chroma.shape(1) != (in.width + 1) / 2) {
    throw std::invalid_argument("chroma must be half as high and wide as luma, rounded up");
  }
  const Extent out = extent_from(out_h, out_w);
  const Isa used = isa_from(isa);
  std::vector<std::uint8_t> pixels;
  {
    const nb::gil_scoped_release released;
    pixels = resize_nv12(Dense<std::uint8_t, 2>(luma).values(),
                         Dense<std::uint8_t, 3>(chroma).values(), in, out, format, kernel, used);
  }
  return to_numpy(std::move(pixels), {out.height, out.width, std::size_t{3}});
}

nb::ndarray<nb::numpy, float> normalize(const Input<std::uint8_t, 3>& rgb,
                                        const std::array<float, 3>& mean,
                                        const std::array<float, 3>& deviation, const IsaName& isa) {
  check_last_axis(rgb.shape(2), 3, "rgb");
  const Extent size{rgb.shape(0), rgb.shape(1)};
  const Isa used = isa_from(isa);
  std::vector<float> planes;
  {
    const nb::gil_scoped_release released;
    planes = normalized_planes(Dense<std::uint8_t, 3>(rgb).values(), size, mean, deviation, used);
  }
  return to_numpy(std::move(planes), {std::size_t{3}, size.height, size.width});
}

// Keeps the GIL: handing it over can cost more than the call takes.
std::int64_t draw_token(
    const nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>& logits,
    const std::vector<std::int64_t>& history, double temperature, std::int64_t top_k, double top_p,
    double repetition_penalty, std::uint64_t seed, std::uint64_t generation, std::uint64_t step,
    const IsaName& isa) {
  const SamplingRule rule{.repetition_penalty = repetition_penalty,
                          .temperature = temperature,
                          .top_k = size_from(top_k, "top_k"),
                          .top_p = top_p};
  try {
    return sample_token({logits.data(), logits.size()}, history, rule, {seed, generation, step},
                        isa_from(isa));
  } catch (const NotFiniteError& error) {
    PyErr_SetString(PyExc_FloatingPointError, error.what());
    throw nb::python_error();
  }
}

}  // namespace

void bind_kernels(nb::module_& module) {
  module.def("instruction_sets", &instruction_sets);
  module.def("topk_cosine", &rank_rows<float>, nb::arg("query").noconvert(),
             nb::arg("rows").noconvert(), "k"_a, nb::kw_only(), "threads"_a = 1,
             "isa"_a = nb::none());
  module.def("topk_cosine", &rank_rows<Half>, nb::arg("query").noconvert(),
             nb::arg("rows").noconvert(), "k"_a, nb::kw_only(), "threads"_a = 1,
             "isa"_a = nb::none());
  module.def("sum_words", &sum_array, nb::arg("words").noconvert(), nb::kw_only(), "threads"_a = 1,
             "isa"_a = nb::none());
  module.def("resize_rgb", &resize_picture, nb::arg("rgb").noconvert(), "out_h"_a, "out_w"_a,
             nb::kw_only(), "filter"_a = "bicubic", "isa"_a = nb::none());
  module.def("resize_nv12", &resize_planes, nb::arg("luma").noconvert(),
             nb::arg("chroma").noconvert(), "out_h"_a, "out_w"_a, nb::kw_only(), "matrix"_a,
             "full_range"_a, "filter"_a = "bicubic", "isa"_a = nb::none());
  module.def("normalized_planes", &normalize, nb::arg("rgb").noconvert(), "mean"_a, "deviation"_a,
             nb::kw_only(), "isa"_a = nb::none());
  module.def("sample", &draw_token, nb::arg("logits").noconvert(), "history"_a, nb::kw_only(),
             "temperature"_a, "top_k"_a, "top_p"_a, "repetition_penalty"_a, "seed"_a,
             "generation"_a, "step"_a, "isa"_a = nb::none());
}

}  // namespace omnilive
